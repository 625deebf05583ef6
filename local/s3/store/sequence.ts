import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { type Folders, loadJson, saveJson } from './disk.ts';

/**
 * Sequencers: hex of one fixed length, each greater than all before it, whatever the clock does. The upper digits count
 * the starts of the server, so that nothing has to be written for each one.
 */
export function openSequence(folders: Folders): () => string {
  const path = join(folders.root, 'starts.json');
  const starts = existsSync(path) ? loadJson(path, v.pipe(v.number(), v.integer())) + 1 : 1;
  saveJson(folders, path, starts);
  let count = 0;
  return () => hex(starts, 8) + hex(count++, 10);
}

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');
