import { type ChildProcess, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { readUploadLog, type UploadProgress } from '../../local/vod/upload-log.ts';

const main = new URL('../../local/cli/main.ts', import.meta.url).pathname;

/** Longer than any test. A command that hangs is killed. */
const TIMEOUT_MS = 120_000;

/** `preload`: a module that is loaded before the command and can write to file descriptor 3. */
type StartOptions = Readonly<{ env?: Record<string, string>; preload?: string }>;

export type Command = ChildProcess & { stdout: Readable; stderr: Readable };

/** Starts `npm start` as a process whose environment contains only `env`. */
export function startCommand(args: readonly string[], { env = {}, preload }: StartOptions = {}): Command {
  return spawn(process.execPath, [...(preload ? ['--import', preload] : []), main, ...args], {
    env: { PATH: process.env.PATH, ...env },
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe', ...(preload ? (['pipe'] as const) : [])],
  }) as Command;
}

/** Reads the unfinished uploads of the local VOD service from its journals, by SHA-1. */
export async function readUploads(data: string): Promise<Map<string, UploadProgress>> {
  const folder = join(data, 'vod', 'uploads');
  const journals = (await listNames(folder)).filter((name) => name.endsWith('.journal'));
  const read = journals.map(async (name): Promise<[string, UploadProgress][]> => {
    const progress = await readUploadLog(join(folder, name));
    return progress ? [[name.replace('.journal', ''), progress]] : [];
  });
  return new Map((await Promise.all(read)).flat());
}

/** Counts the parts that the local VOD service holds of unfinished uploads. */
export async function countHeldParts(data: string): Promise<number> {
  return [...(await readUploads(data)).values()].reduce((sum, { held }) => sum + held.size, 0);
}

/** Lists the names in a folder. A folder that does not exist has none. */
export const listNames = (folder: string): Promise<string[]> =>
  readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
