import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { parse } from 'yaml';

const Params = v.object({
  params: v.object({ default: v.record(v.string(), v.union([v.string(), v.number()])) }),
});

/** The content of serverless.yml. Without `logLevel` the parser warns about CloudFormation's tags, such as `!Ref`. */
export const serverlessYml = (): unknown =>
  parse(readFileSync(new URL('../serverless.yml', import.meta.url), 'utf8'), { logLevel: 'silent' });

/** The stack's parameters and their defaults. */
export const stackParameters = (): Readonly<Record<string, string | number>> =>
  v.parse(Params, serverlessYml()).params.default;

/**
 * Checks the `--param` options. osls ignores a parameter that the stack does not have, and deploys the default.
 * @throws {Error} naming the parameter and those that exist
 */
export function checkParameters(options: readonly string[]): void {
  const known = Object.keys(stackParameters());
  const { values } = parseArgs({
    args: [...options],
    options: { param: { type: 'string', multiple: true } },
    strict: false,
  });
  for (const text of values.param ?? []) {
    const [name = '', ...rest] = (typeof text === 'string' ? text : '').split('=');
    const value = rest.join('=');
    if (!known.includes(name)) throw new Error(`--param ${name}: expected one of ${known.join(', ')}`);
    if (name === 'bucketMode' && !['new', 'existing'].includes(value))
      throw new Error(`--param bucketMode: expected new or existing, got ${value}`);
  }
}
