import { readFileSync } from 'node:fs';
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
  for (const [name, value] of parametersIn(options)) {
    if (!known.includes(name)) throw new Error(`--param ${name}: expected one of ${known.join(', ')}`);
    if (name === 'bucketMode' && !['new', 'existing'].includes(value))
      throw new Error(`--param bucketMode: expected new or existing, got ${value}`);
  }
}

/** Reads `--param name=value` and `--param=name=value`. */
function parametersIn(options: readonly string[]): [name: string, value: string][] {
  const texts = options.flatMap((option, index) => {
    if (option === '--param') return options[index + 1] ?? '';
    return option.startsWith('--param=') ? option.slice('--param='.length) : [];
  });
  return texts.map((text) => {
    const [name = '', ...value] = text.split('=');
    return [name, value.join('=')];
  });
}
