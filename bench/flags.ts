import { join } from 'node:path';

/**
 * What runs handlers runs with the flag that `npm start` and the deployed functions run with (docs/performance.md). The reference,
 * a plain program, runs with the defaults of Node.
 */
export const HANDLER_FLAGS = ['--max-semi-space-size=1'];

/** Names the folder for CPU profiles, if they are wanted; all processes of a measurement see it. */
export const PROFILE = 'BENCH_PROFILE';

export function profileFlags(name: string): string[] {
  const folder = process.env[PROFILE];
  return folder ? ['--cpu-prof', `--cpu-prof-dir=${join(folder, name)}`] : [];
}
