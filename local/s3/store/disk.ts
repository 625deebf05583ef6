import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeJson } from '../../../cli/write-json.ts';

/** The folders of the store. All on one file system, so that a rename between them is atomic. */
export type Folders = Readonly<{
  root: string;
  buckets: string;
  blobs: string;
  uploads: string;
  drafts: string;
}>;

export function openFolders(dir: string): Folders {
  const folders = {
    root: dir,
    buckets: join(dir, 'buckets'),
    blobs: join(dir, 'blobs'),
    uploads: join(dir, 'uploads'),
    drafts: join(dir, 'drafts'),
  };
  // What a killed process had begun to write.
  rmSync(folders.drafts, { recursive: true, force: true });
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  return folders;
}

/** Writes a record of the store atomically. The draft lies in its own folder, which the next start empties. */
export const saveJson = ({ drafts }: Folders, path: string, value: unknown): void =>
  writeJson(path, value, join(drafts, randomUUID()));

export function loadJson<const S extends v.GenericSchema>(path: string, schema: S): v.InferOutput<S> {
  try {
    return v.parse(schema, JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new Error(`${path} is not what this S3 server wrote: remove it, or the folder, and start again`, {
      cause,
    });
  }
}

export const listNames = (folder: string): string[] => readdirSync(folder).sort();
