import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Handler } from './aws/lambda.ts';

/** The very code that is deployed, in place of the sources. */

const Bundle = v.object({ handler: v.custom<Handler>((value) => typeof value === 'function') });

/** @throws {Error} what to do where there is none */
export function loadBundle(dir: string, name: string): Handler {
  const path = join(dir, `${name}.js`);
  if (!existsSync(path))
    throw new Error(`--packaged: ${path} is not there: npm run package builds it, which needs no account`);
  return v.parse(Bundle, createRequire(import.meta.url)(path)).handler;
}
