import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { expect, test } from 'vitest';

/** Permissive licenses, which require only their notice. */
const ALLOWED = new Set([
  ...['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0'],
  ...['CC0-1.0', 'ISC', 'MIT', 'MIT-0', 'Unlicense'],
]);

const Names = v.optional(v.record(v.string(), v.string()), {});
const Package = v.object({
  license: v.optional(v.string(), 'unknown'),
  dependencies: Names,
  optionalDependencies: Names,
});
const LockFile = v.object({ lockfileVersion: v.literal(3), packages: v.record(v.string(), Package) });

const root = resolve(import.meta.dirname, '..');
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));

/** The lock file's `dev` flags, and so `npm sbom --omit=dev`, miss packages that an optional peer needs as well. */
function licensesOfDependencies(): Map<string, string> {
  const { packages } = v.parse(LockFile, readJson('package-lock.json'));
  const licenses = new Map<string, string>();
  const visit = (from: string): void => {
    const { dependencies, optionalDependencies } = v.parse(Package, packages[from]);
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const folders = from.split('/node_modules/').map((_, depth, all) => all.slice(0, all.length - depth));
      const paths = [
        ...folders.map((folder) => `${folder.join('/node_modules/')}/node_modules/${name}`),
        `node_modules/${name}`,
      ];
      const path = paths.find((candidate) => candidate in packages);
      if (path === undefined)
        throw new Error(`package-lock.json: expected ${name}, which ${from || 'the project'} needs`);
      if (licenses.has(path)) continue;
      licenses.set(path, v.parse(Package, packages[path]).license);
      visit(path);
    }
  };
  visit('');
  return licenses;
}

test('the packages that the functions may contain have permissive licenses', () => {
  const licenses = licensesOfDependencies();
  const { dependencies } = v.parse(Package, readJson('package.json'));
  for (const name of Object.keys(dependencies))
    expect([...licenses.keys()]).toContain(`node_modules/${name}`);
  expect([...licenses].filter(([, license]) => !ALLOWED.has(license))).toEqual([]);
  expect([...licenses.keys()].filter((path) => /\/(vitest|typescript|node)$/.test(path))).toEqual([]);
});
