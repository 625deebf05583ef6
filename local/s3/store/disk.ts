import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeJson } from '../../../cli/write-json.ts';

/** The folders of the store. They are on one file system, so that a rename between them is atomic. */
export type Folders = Readonly<Record<'root' | 'buckets' | 'blobs' | 'uploads' | 'drafts', string>>;

export function openFolders(dir: string): Folders {
  const folders = {
    root: dir,
    buckets: join(dir, 'buckets'),
    blobs: join(dir, 'blobs'),
    uploads: join(dir, 'uploads'),
    drafts: join(dir, 'drafts'),
  };
  // Unfinished writes of a killed process.
  rmSync(folders.drafts, { recursive: true, force: true });
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  return folders;
}

/** Writes a record of the store atomically. The next start empties the folder of drafts. */
export const saveJson = ({ drafts }: Folders, path: string, value: unknown): void =>
  writeJson(path, value, { draft: join(drafts, randomUUID()) });

export function loadJson<const S extends v.GenericSchema>(path: string, schema: S): v.InferOutput<S> {
  try {
    return v.parse(schema, JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const message = `${path}: expected a record of the local S3 server. Delete the file or the data folder, then restart.`;
    throw new Error(message, { cause });
  }
}

export const listNames = (folder: string): string[] => readdirSync(folder).sort();
