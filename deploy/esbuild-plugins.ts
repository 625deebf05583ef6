import type { Plugin } from 'esbuild';

/**
 * Rejects modules that are imported late, with `import()` or `require`. esbuild wraps such a module and all its imports in functions:
 * it keeps all of them whole, and V8 parses them twice. The shims in deploy/ import nothing. See docs/decisions/0008-bundles.md.
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

export default [forbidLateImports];
