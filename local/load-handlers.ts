import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Handler } from './aws/lambda.ts';

const HandlerModule = v.object({ handler: v.custom<Handler>((value) => typeof value === 'function') });

/**
 * Loads the handlers: the deployed bundles in `bundleDir`, or else the sources. The environment must be complete, because
 * the logger reads its level while it is loaded.
 * @throws {Error} if a bundle is missing
 */
export async function loadHandlers(bundleDir: string | undefined) {
  const load = async (name: string): Promise<Handler> => {
    const module: unknown =
      bundleDir === undefined
        ? await import(`../handlers/${name}.ts`)
        : loadBundle(join(bundleDir, `${name}.js`));
    return v.parse(HandlerModule, module).handler;
  };
  const [trigger, init, part, finish, cover] = await Promise.all([
    load('trigger'),
    load('init'),
    load('part'),
    load('finish'),
    load('cover'),
  ]);
  return { trigger, init, part, finish, cover };
}

function loadBundle(path: string): unknown {
  if (!existsSync(path))
    throw new Error(
      `--packaged: ${path} does not exist. Build it with npm run package, which needs no account.`,
    );
  return createRequire(import.meta.url)(path);
}
