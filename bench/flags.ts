import { join } from 'node:path';
import { DEPLOYMENT_DEFAULTS } from '../deploy/defaults.ts';

/**
 * Processes that run handlers have the flags and the allocator of the deployed functions. Several arenas of the C library
 * would keep freed memory. The reference, a plain program, runs with the defaults of Node.
 */
export const HANDLER_FLAGS = DEPLOYMENT_DEFAULTS.nodeOptions;
export const HANDLER_ENVIRONMENT = { MALLOC_ARENA_MAX: '1' };

/** The variable that names the folder for CPU profiles. All processes of a measurement read it. */
export const PROFILE_VARIABLE = 'BENCH_PROFILE';

export function profileFlags(name: string): string[] {
  const folder = process.env[PROFILE_VARIABLE];
  return folder ? ['--cpu-prof', `--cpu-prof-dir=${join(folder, name)}`] : [];
}
