import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { build } from 'esbuild';
import { ZipFile } from 'yazl';
import { BUILD } from './places.ts';

/** The functions' code as it is deployed: one file each, with all that it needs inside. Why so: docs/decisions/0008-bundles.md */

const root = resolve(import.meta.dirname, '..');

/** A function's code; its source map lies beside it. `bytes`: of the code alone. */
export type Bundle = Readonly<{ name: string; path: string; bytes: number }>;

/** Every handler is a function, but for the wrapping that they share. */
async function functionNames(): Promise<string[]> {
  const files = await readdir(join(root, 'handlers'));
  return files
    .filter((file) => file.endsWith('.ts') && file !== 'step.ts')
    .map((file) => basename(file, '.ts'));
}

/** Builds all functions into `dir`, which is emptied before. @throws what esbuild finds wrong */
export async function bundle(dir = BUILD): Promise<Bundle[]> {
  const names = await functionNames();
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: names.map((name) => `handlers/${name}.ts`),
    outdir: dir,
    bundle: true,
    platform: 'node',
    target: 'node24',
    // CommonJS starts some 20 ms sooner than modules do.
    format: 'cjs',
    // The packages' modules rather than their CommonJS: of those what is not used stays out.
    mainFields: ['module', 'main'],
    alias: { '@aws-sdk/credential-provider-node': './deploy/credentials.ts' },
    minify: true,
    // The sources themselves lie in the repository; with them a map would be five times as long, and is read at each start.
    sourcemap: true,
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'warning',
  });
  // This package's own says "module"; in a zip there is none.
  await writeFile(join(dir, 'package.json'), '{"type":"commonjs"}\n');
  return Promise.all(
    names.map(async (name) => {
      const path = join(dir, `${name}.js`);
      return { name, path, bytes: (await stat(path)).size };
    }),
  );
}

/** The same for all, so that equal code makes an equal zip, and is not deployed again. */
const ENTRY = { mtime: new Date(2000, 0, 1), forceDosTimestamp: true, mode: 0o100644 };

/** Beside each bundle the zip of it and its map. */
export async function zip(bundles: readonly Bundle[]): Promise<void> {
  await Promise.all(
    bundles.map(async ({ name, path }) => {
      const file = new ZipFile();
      for (const part of [path, `${path}.map`]) file.addBuffer(await readFile(part), basename(part), ENTRY);
      file.end();
      await pipeline(file.outputStream, createWriteStream(join(path, '..', `${name}.zip`)));
    }),
  );
}
