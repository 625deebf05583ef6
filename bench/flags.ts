import { join } from 'node:path';

/**
 * What all processes of a measurement run with; a deployment should set the same in `NODE_OPTIONS`. Each chunk
 * from a socket is a young object with 64 KiB outside of the heap. In a young generation of 1 MiB they are collected before
 * they have left the processor's cache, and the memory is used again; in the default one of 16 MiB they pile up.
 */
export const NODE_FLAGS = ['--max-semi-space-size=1'];

/** Names the folder for CPU profiles, if they are wanted; all processes of a measurement see it. */
export const PROFILE = 'BENCH_PROFILE';

export function profileFlags(name: string): string[] {
  const folder = process.env[PROFILE];
  return folder ? ['--cpu-prof', `--cpu-prof-dir=${join(folder, name)}`] : [];
}
