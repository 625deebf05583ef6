import { readFileSync } from 'node:fs';

/** What osls takes without a word: a parameter that the stack does not have, whose default is then deployed. */

/** The names under `params`, `default`, in serverless.yml. */
export function parametersOf(serverlessYml: string): string[] {
  const [, params = ''] = /^params:\n {2}default:\n([\s\S]+?)\n\S/m.exec(serverlessYml) ?? [];
  return [...params.matchAll(/^ {4}(\w+):/gm)].map(([, name = '']) => name);
}

/** @throws {Error} naming the parameter, and those that there are */
export function checkParameters(options: readonly string[]): void {
  const known = parametersOf(readFileSync(new URL('../serverless.yml', import.meta.url), 'utf8'));
  for (const [name, value] of given(options)) {
    if (!known.includes(name)) throw new Error(`--param ${name}: the stack has ${known.join(', ')}`);
    if (name === 'bucketMode' && !['new', 'existing'].includes(value))
      throw new Error(`--param bucketMode=${value}: expected new or existing`);
  }
}

/** `--param name=value`, and `--param=name=value`. */
function given(options: readonly string[]): [name: string, value: string][] {
  const texts = options.flatMap((option, at) => {
    if (option === '--param') return options[at + 1] ?? '';
    return option.startsWith('--param=') ? option.slice('--param='.length) : [];
  });
  return texts.map((text) => {
    const equals = text.indexOf('=');
    return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
  });
}
