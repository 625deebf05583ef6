import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { type Folders, loadJson, saveJson } from './disk.ts';

/**
 * Creates a generator of sequencers: hex of fixed length, each greater than all before it, independent of the clock. The
 * upper digits count server starts, so that a new sequencer needs no write.
 */
export function openSequence(folders: Folders): () => string {
  const path = startsPath(folders);
  const starts = existsSync(path) ? loadJson(path, v.pipe(v.number(), v.integer())) + 1 : 1;
  saveJson(folders, path, starts);
  let count = 0;
  return () => hex(starts, 8) + hex(count++, 10);
}

/** When the server was last started before `openSequence`, in ms by the clock of the file system. 0: never. */
export const findLastStart = (folders: Folders): number =>
  statSync(startsPath(folders), { throwIfNoEntry: false })?.mtimeMs ?? 0;

const startsPath = ({ root }: Folders): string => join(root, 'starts.json');

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');
