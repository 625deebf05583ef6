import { join } from 'node:path';

/**
 * What runs handlers runs as the deployed functions do (`serverless.yml`): a small young generation, and one arena of
 * the C library's allocator, which otherwise keeps freed chunks in several. The reference, a plain program, runs with the defaults of Node.
 */
export const HANDLER_FLAGS = ['--max-semi-space-size=1'];
export const HANDLER_ENVIRONMENT = { MALLOC_ARENA_MAX: '1' };

/** Names the folder for CPU profiles, if they are wanted; all processes of a measurement see it. */
export const PROFILE = 'BENCH_PROFILE';

export function profileFlags(name: string): string[] {
  const folder = process.env[PROFILE];
  return folder ? ['--cpu-prof', `--cpu-prof-dir=${join(folder, name)}`] : [];
}
