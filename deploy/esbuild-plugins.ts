import { readFile } from 'node:fs/promises';
import type { Plugin } from 'esbuild';

/** Plugins that keep the bundles small and quick to load. See docs/decisions/0008-bundles.md. */

/**
 * The SDK's schemas use constants as keys: `{ [_hH]: … }`. esbuild treats a computed key as a side effect and keeps the schemas of all
 * operations. With literal keys it keeps only those in use.
 */
const literalKeys: Plugin = {
  name: 'literal-keys',
  setup(build) {
    build.onLoad({ filter: /[\\/]dist-es[\\/]schemas[\\/]schemas_\d+\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const texts = new Map(
        [...source.matchAll(/^const (\w+) = ("[^"\\]*");$/gm)].map(([, name, text]) => [name, text]),
      );
      const contents = source.replace(/\[(\w+)\]:/g, (key, name) => `${texts.get(name) ?? key}:`);
      if (contents !== source) return { contents };
      return { errors: [{ text: `${path}: expected schemas with constants as keys, found none` }] };
    });
  },
};

/**
 * Rejects modules that are imported late, with `import()` or `require`. esbuild wraps such a module and all its imports in functions:
 * it keeps all of them whole, and V8 parses them twice. The shims in deploy/ import nothing.
 */
const forbidLateImports: Plugin = {
  name: 'forbid-late-imports',
  setup(build) {
    build.initialOptions.metafile = true;
    build.onEnd(({ metafile = { inputs: {}, outputs: {} } }) => {
      const bundled = Object.values(metafile.outputs).flatMap(({ inputs }) =>
        Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0),
      );
      const errors = bundled.flatMap(([from]) =>
        (metafile.inputs[from]?.imports ?? [])
          .filter(({ kind }) => kind === 'dynamic-import' || kind === 'require-call')
          .filter(({ path }) => metafile.inputs[path]?.format === 'esm' && !path.startsWith('deploy/'))
          .map(({ path }) => ({ text: `${from} imports ${path} late. Import it statically, or replace it` })),
      );
      return { errors };
    });
  },
};

export default [literalKeys, forbidLateImports];
