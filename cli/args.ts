import { type ParseArgsConfig, parseArgs } from 'node:util';

/** What the commands read alike from their command lines. */

/** What somebody typed is wrong; the message names it. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The last words of a command that failed: one line where it was typed wrong, else where it happened too. */
export function formatError(error: unknown): string {
  if (error instanceof UsageError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/**
 * The options and other words of a command line, as `options` declares them.
 * @param command as it is typed, to point to its help @throws {UsageError} naming the option, in one line
 */
export function readOptions<const O extends NonNullable<ParseArgsConfig['options']>>(
  command: string,
  argv: readonly string[],
  options: O,
) {
  try {
    return parseArgs({ args: [...argv], allowPositionals: true, options });
  } catch (error) {
    const [what] = (error instanceof Error ? error.message : String(error)).split(/\.\s/, 1);
    throw new UsageError(`${what}: ${command} -- --help lists the options`);
  }
}

/** The one word that is no option. @throws {UsageError} */
export function expectOne([first, ...more]: readonly string[], expected: string): string {
  if (first !== undefined && more.length === 0) return first;
  throw new UsageError(
    first === undefined ? `${expected} is missing` : `${more.join(' ')}: expected one ${expected}`,
  );
}

/** @throws {UsageError} where there is a word that is no option */
export function expectNone(positionals: readonly string[]): void {
  if (positionals.length > 0) throw new UsageError(`${positionals.join(' ')}: expected options alone`);
}

/** @throws {UsageError} */
export function parseInteger(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`${option} ${text}: expected a whole number from ${least} to ${most}`);
}

/** `s3://bucket/key`; the key, or a prefix of keys, may be empty where the caller says so. @throws {UsageError} */
export function parseS3Uri(
  text: string,
  expected: 's3://bucket/key' | 's3://bucket/prefix' = 's3://bucket/key',
): { bucket: string; key: string } {
  const [, bucket, key = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/s.exec(text) ?? [];
  if (bucket && (key || expected === 's3://bucket/prefix')) return { bucket, key };
  throw new UsageError(`${text}: expected ${expected}`);
}
