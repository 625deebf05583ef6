import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, onTestFinished } from 'vitest';

/** Creates a temporary folder for code that runs outside Vitest; `removeFolder` removes it. */
export const makeFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 's3-vod-test-'));

export const removeFolder = (path: string): Promise<void> =>
  rm(path, { recursive: true, force: true, maxRetries: 3 });

/** Creates a temporary folder that is removed when the current test ends. */
export async function newFolder(): Promise<string> {
  const path = await makeFolder();
  onTestFinished(() => removeFolder(path));
  return path;
}

/** Creates a temporary folder for all tests of a file, and removes it after the last one. */
export function useFolder(): { readonly path: string } {
  const folder = { path: '' };
  beforeAll(async () => {
    folder.path = await makeFolder();
  });
  afterAll(() => removeFolder(folder.path));
  return folder;
}
