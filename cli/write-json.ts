import { renameSync, writeFileSync } from 'node:fs';

/**
 * Writes `value` as JSON to `path` atomically: a reader finds the old text or the new text, also after `kill -9`.
 * There is no fsync: the file survives the process, but not a power failure.
 * The call is synchronous, so that a check and the write that relies on it are one step.
 * @param options `draft`: a path on the same file system; a kill can leave this file behind
 */
export function writeJson(path: string, value: unknown, { draft = `${path}.new`, indent = 0 } = {}): void {
  writeFileSync(draft, `${JSON.stringify(value, null, indent)}\n`);
  renameSync(draft, path);
}
