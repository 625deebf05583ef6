import { readFile } from 'node:fs/promises';
import type { Plugin } from 'esbuild';

/** What keeps the bundles small and quick to load, beside the options in `serverless.yml`: docs/decisions/0008-bundles.md */

/**
 * The SDK's schemas have constants for keys: `{ [_hH]: … }`. To esbuild such a key is code that might do something, so it would keep the
 * schemas of all operations of a service. With the constants' text in their place it keeps those of the operations in use.
 */
const plainKeys: Plugin = {
  name: 'plain-keys',
  setup(build) {
    build.onLoad({ filter: /[\\/]dist-es[\\/]schemas[\\/]schemas_\d+\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const texts = new Map(
        [...source.matchAll(/^const (\w+) = ("[^"\\]*");$/gm)].map(([, name, text]) => [name, text]),
      );
      const contents = source.replace(/\[(\w+)\]:/g, (key, name) => `${texts.get(name) ?? key}:`);
      if (contents !== source) return { contents };
      return { errors: [{ text: `${path}: no schema has a constant for a key: plain-keys does nothing` }] };
    });
  },
};

/**
 * Refuses modules that are loaded late, with `import()` or `require`. In a single file esbuild can do that only with functions around such a
 * module and all that it imports: all of them are kept whole, and V8 parses them twice. Stand-ins import nothing.
 */
const forbidLateImports: Plugin = {
  name: 'flat',
  setup(build) {
    build.initialOptions.metafile = true;
    build.onEnd(({ metafile = { inputs: {}, outputs: {} } }) => {
      const kept = Object.values(metafile.outputs).flatMap(({ inputs }) =>
        Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0),
      );
      const late = kept.flatMap(([from]) =>
        (metafile.inputs[from]?.imports ?? [])
          .filter(({ kind }) => kind === 'dynamic-import' || kind === 'require-call')
          .filter(({ path }) => metafile.inputs[path]?.format === 'esm' && !path.startsWith('deploy/'))
          .map(({ path }) => `${from} loads ${path} late: all that it imports would be kept whole`),
      );
      return { errors: late.map((text) => ({ text })) };
    });
  },
};

export default [plainKeys, forbidLateImports];
