import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readUploadLog, type UploadProgress } from '../../local/vod/v2/upload-log.ts';
import { type NodeOptions, startNode } from './node-process.ts';

/** Starts `npm start` as a process. */
export const startCommand = (args: readonly string[], options?: NodeOptions) =>
  startNode('local/cli/main.ts', args, options);

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

/** Lists the names in a folder. A folder that does not exist has none. */
export const listNames = (folder: string): Promise<string[]> =>
  readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
