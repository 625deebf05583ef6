import { parseArgs } from 'node:util';
import { UsageError } from './errors.ts';

/** Defines and parses command lines. One table per command is the source for parsing, usage text, and documentation. */

type OptionSettings<T> = Readonly<{
  default?: T;
  /** Describes a default that is not a fixed value. */
  defaultText?: string;
  isRequired?: true;
}>;

/** An option of a command. `placeholder` stands for its value in the usage text. */
export type Option =
  | Readonly<{ type: 'boolean'; description: string }>
  | (Readonly<{ type: 'string'; placeholder: string; description: string }> & OptionSettings<string>)
  | (Readonly<{ type: 'integer'; placeholder: string; description: string; min: number; max: number }> &
      OptionSettings<number>);

export const flag = (description: string) => ({ type: 'boolean', description }) as const;

export const text = <const S extends OptionSettings<string>>(
  placeholder: string,
  description: string,
  settings = {} as S,
) => ({ type: 'string' as const, placeholder, description, ...settings });

export const integer = <const S extends OptionSettings<number> & { min: number; max: number }>(
  placeholder: string,
  description: string,
  settings: S,
) => ({ type: 'integer' as const, placeholder, description, ...settings });

/** Optional arguments can be repeated and mixed. A required one is given exactly once. */
export type Argument = Readonly<{ name: string; description: string; isOptional?: true }>;

export type CommandDefinition = Readonly<{
  /** As typed: `npm run invoke`. Every command also has `--help`. */
  name: string;
  summary: string;
  arguments: readonly Argument[];
  options: Readonly<Record<string, Option>>;
  /** A paragraph after the options. */
  notes?: string;
}>;

type Value<O extends Option> = O extends { type: 'boolean' }
  ? boolean
  :
      | (O extends { type: 'integer' } ? number : string)
      | (O extends { isRequired: true } | { default: string | number } ? never : undefined);

export type Values<O extends CommandDefinition['options']> = { readonly [K in keyof O]: Value<O[K]> };

/** `argument`: the required argument, or the empty string for a command without one. */
type ParsedCommand<C extends CommandDefinition> = {
  values: Values<C['options']>;
  positionals: string[];
  argument: string;
};

/**
 * Parses a command line and converts it.
 * @returns the result of `convert`, or `help` if the command line contains `--help`
 * @throws {UsageError} for an unknown option, a missing one, or an invalid value
 */
export function parseCommand<C extends CommandDefinition, A>(
  command: C,
  argv: readonly string[],
  convert: (parsed: ParsedCommand<C>) => A,
): A | 'help' {
  const { values, positionals } = splitArguments(command, argv);
  if (values.help) return 'help';
  const [expected] = command.arguments;
  const [argument = '', ...more] = positionals;
  if (!expected && argument)
    throw new UsageError(`${positionals.join(' ')}: expected only options. ${helpHint(command)}`);
  if (expected && !expected.isOptional) {
    if (!argument) throw new UsageError(`expected ${expected.name}, got no argument. ${helpHint(command)}`);
    if (more.length > 0) throw new UsageError(`${more.join(' ')}: expected one ${expected.name}, got more`);
  }
  const parsed = Object.entries(command.options).map(([name, option]) => {
    const value = values[name];
    if (option.type === 'boolean') return [name, value === true];
    if (option.isRequired && !value)
      throw new UsageError(`--${name} ${option.placeholder} is missing. ${helpHint(command)}`);
    if (typeof value !== 'string') return [name, option.default];
    if (option.type === 'string') return [name, value];
    return [name, parseInteger(`--${name}`, value, option.min, option.max)];
  });
  // The types of the values follow from the table, which the compiler cannot see through its entries.
  return convert({ values: Object.fromEntries(parsed) as Values<C['options']>, positionals, argument });
}

function splitArguments(command: CommandDefinition, argv: readonly string[]) {
  const options: Record<string, { type: 'boolean' | 'string' }> = { help: { type: 'boolean' } };
  for (const [name, { type }] of Object.entries(command.options))
    options[name] = { type: type === 'boolean' ? 'boolean' : 'string' };
  try {
    return parseArgs({ args: [...argv], allowPositionals: true, options });
  } catch (error) {
    // Node appends advice about positional arguments in further sentences.
    const [problem] = (error instanceof Error ? error.message : String(error)).split(/\.\s/, 1);
    throw new UsageError(`${problem}. ${helpHint(command)}`);
  }
}

const helpHint = ({ name }: CommandDefinition): string => `Run ${name} -- --help for the options.`;

function parseInteger(target: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${target} ${text}: expected an integer from ${min} to ${max}`);
}

/** Parses `s3://bucket/key`. A prefix can be empty, a key cannot. @throws {UsageError} */
export function parseS3Uri(
  text: string,
  expected: 's3://bucket/key' | 's3://bucket/prefix' = 's3://bucket/key',
): { bucket: string; key: string } {
  const [, bucket, key = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/s.exec(text) ?? [];
  if (bucket && (key || expected === 's3://bucket/prefix')) return { bucket, key };
  throw new UsageError(`${text}: expected ${expected}`);
}

/**
 * Checks a bucket name: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
 * @param target the option that is named in the error, with a space after it, or nothing @throws {UsageError}
 */
export function parseBucketName(text: string, target = ''): string {
  if (/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(text)) return text;
  throw new UsageError(
    `${target}${text}: expected a bucket name of 3 to 63 characters: a-z, 0-9, dots, and hyphens`,
  );
}
