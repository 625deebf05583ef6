import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import plugins from '../../../deploy/esbuild-plugins.ts';
import { newFolder } from '../../support/temp-folder.ts';

async function bundle(entry: string): Promise<string> {
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

async function writeSchemas(source: string): Promise<string> {
  const folder = join(await newFolder(), 'dist-es/schemas');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'schemas_0.js'), source);
  const entry = join(folder, 'entry.js');
  await writeFile(entry, "import { Used$ } from './schemas_0.js'; console.log(Used$);");
  return entry;
}

test('leaves out schemas that are not used', async () => {
  const source = [
    'const _hH = "httpHeader";',
    'export var Used$ = [3, [[0, { [_hH]: "etag" }]]];',
    'export var Unused$ = [3, [[0, { [_hH]: "left-out" }]]];',
  ];
  const code = await bundle(await writeSchemas(source.join('\n')));
  expect(code).toContain('{ "httpHeader": "etag" }');
  expect(code).not.toContain('left-out');
});

test('fails when the SDK writes its schemas in another way', async () => {
  const source = 'export var Used$ = [3, [[0, { httpHeader: "etag" }]]];';
  await expect(bundle(await writeSchemas(source))).rejects.toThrow(
    /schemas_0\.js: expected schemas with constants as keys/,
  );
});

test('fails when a module is imported late', async () => {
  // The build in `serverless.yml` replaces the event streams module.
  await expect(bundle('handlers/trigger.ts')).rejects.toThrow(
    /HttpProtocol\.js imports \S+event-streams\/index\.js late/,
  );
});
