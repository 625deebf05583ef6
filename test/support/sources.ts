import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as errors from '../../lib/errors.ts';

/** The project's files, as paths from its root. */

export const root = resolve(import.meta.dirname, '../..');

export const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Lists the files below a folder whose names end with `extension`. */
export const filesIn = (folder: string, extension = '.ts'): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => join(folder, name));

/** The names of the error classes in `lib/errors.ts`. */
export const ERROR_NAMES: readonly string[] = Object.values(errors).flatMap((value) =>
  'prototype' in value && value.prototype instanceof Error ? [value.name] : [],
);
