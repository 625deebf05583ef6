import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import plugins from '../../../deploy/esbuild-plugins.ts';
import { newFolder } from '../../support/stack.ts';

/** A bundle of `entry`, as text. */
async function bundled(entry: string): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: resolve(import.meta.dirname, '../../..'),
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'node',
    mainFields: ['module', 'main'],
    logLevel: 'silent',
    plugins,
  });
  return outputFiles.map(({ text }) => text).join();
}

async function schemas(source: string): Promise<string> {
  const folder = join(await newFolder(), 'dist-es/schemas');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'schemas_0.js'), source);
  const entry = join(folder, 'entry.js');
  await writeFile(entry, "import { Used$ } from './schemas_0.js'; console.log(Used$);");
  return entry;
}

test('of the schemas only those in use are bundled', async () => {
  const source = [
    'const _hH = "httpHeader";',
    'export var Used$ = [3, [[0, { [_hH]: "etag" }]]];',
    'export var Unused$ = [3, [[0, { [_hH]: "left-out" }]]];',
  ];
  const bundle = await bundled(await schemas(source.join('\n')));
  expect(bundle).toContain('{ "httpHeader": "etag" }');
  expect(bundle).not.toContain('left-out');
});

test('schemas that are written in another way are not bundled unnoticed', async () => {
  const source = 'export var Used$ = [3, [[0, { httpHeader: "etag" }]]];';
  await expect(bundled(await schemas(source))).rejects.toThrow(/schemas_0\.js: no schema has a constant/);
});

test('a module that is loaded late is not bundled unnoticed', async () => {
  // As it is without the stand-in that `serverless.yml` names.
  await expect(bundled('handlers/trigger.ts')).rejects.toThrow(
    /HttpProtocol\.js loads \S+event-streams\/index\.js late/,
  );
});
