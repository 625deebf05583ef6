import { type ChildProcess, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type Progress, readJournal } from '../../local/vod/upload-log.ts';

/** `npm start` in a process of its own, and what its VOD service says of itself on disk. */

const main = new URL('../../local/cli/main.ts', import.meta.url).pathname;

/** More than any test's run takes: one that hangs is ended, and has then not ended by itself. */
const LIMIT_MS = 120_000;

/** `witness`: a module that is loaded before the command and tells what it sees on file descriptor 3. */
type Way = Readonly<{ env?: Record<string, string>; witness?: string }>;

export type Command = ChildProcess & { stdout: Readable; stderr: Readable };

export function startCommand(args: readonly string[], { env = {}, witness }: Way = {}): Command {
  return spawn(process.execPath, [...(witness ? ['--import', witness] : []), main, ...args], {
    env: { PATH: process.env.PATH, ...env },
    timeout: LIMIT_MS,
    stdio: ['ignore', 'pipe', 'pipe', ...(witness ? (['pipe'] as const) : [])],
  }) as Command;
}

/** The uploads that the service of this data folder has under way, by SHA-1, as its own journals tell them. */
export async function uploadsOf(data: string): Promise<Map<string, Progress>> {
  const folder = join(data, 'vod', 'uploads');
  const journals = (await namesIn(folder)).filter((name) => name.endsWith('.journal'));
  const read = journals.map(async (name): Promise<[string, Progress][]> => {
    const progress = await readJournal(join(folder, name));
    return progress ? [[name.replace('.journal', ''), progress]] : [];
  });
  return new Map((await Promise.all(read)).flat());
}

/** Parts that the service holds of all of them. */
export async function heldParts(data: string): Promise<number> {
  return [...(await uploadsOf(data)).values()].reduce((sum, { held }) => sum + held.size, 0);
}

/** None where there is no such folder yet. */
export const namesIn = (folder: string): Promise<string[]> =>
  readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
