import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { parse } from 'yaml';
import { VOD_APIS, WRITE_BACK_MODES } from '../lib/config.ts';

const Params = v.object({
  params: v.object({ default: v.record(v.string(), v.union([v.string(), v.number()])) }),
});

/** The content of serverless.yml. Without `logLevel` the parser warns about CloudFormation's tags, such as `!Ref`. */
export const serverlessYml = (): unknown =>
  parse(readFileSync(new URL('../serverless.yml', import.meta.url), 'utf8'), { logLevel: 'silent' });

/** The stack's parameters and their defaults. */
export const stackParameters = (): Readonly<Record<string, string | number>> =>
  v.parse(Params, serverlessYml()).params.default;

/** Parameters that select a part of a file in deploy/. */
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  bucketMode: ['new', 'existing'],
  vodApi: VOD_APIS,
  writeBack: WRITE_BACK_MODES,
};

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
    const choices = CHOICES[name];
    if (choices && !choices.includes(value))
      throw new Error(`--param ${name}: expected ${choices.join(' or ')}, got ${value}`);
  }
}

/**
 * Checks that a region is named, because a guessed one would create or remove a stack in the wrong place.
 * @throws {Error} if neither `--region` nor `AWS_REGION` names one
 */
export function checkRegion(options: readonly string[], env: NodeJS.ProcessEnv): void {
  const region = { type: 'string', short: 'r' } as const;
  const { values } = parseArgs({ args: [...options], options: { region }, strict: false });
  if (!values.region && !env.AWS_REGION)
    throw new Error('--region: expected a region, got none. Set --region or AWS_REGION.');
}
