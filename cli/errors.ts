import { styleText } from 'node:util';
import { errorMessage } from '../lib/errors.ts';
import { printable, rounded } from './format.ts';

/** What is said when an object, or the command, has failed. */

const bad = (text: string): string => styleText('red', text, { stream: process.stderr });
const dim = (text: string): string => styleText('dim', text, { stream: process.stderr });

export const failedJson = (
  { bucket, key }: { bucket: string; key: string },
  error: unknown,
  seconds: number,
): string =>
  JSON.stringify({
    bucket,
    key,
    outcome: 'failed',
    ...{ fileId: null, url: null, sha1: null, size: null, partsSent: null, bytesSent: null },
    seconds: rounded(seconds),
    error: nameOf(error),
    reason: messageOf(error),
  });

/** One line that says what failed and why; the stack only for who asked for it. */
export function failureLine(name: string | undefined, error: unknown, verbose: boolean): string {
  const line = `${bad('✘')} ${name === undefined ? '' : `${printable(name)}  `}${printable(messageOf(error))}${kind(error)}`;
  return verbose && error instanceof Error && error.stack ? `${line}\n${error.stack}` : line;
}

const kind = (error: unknown): string => {
  const name = nameOf(error);
  return name === 'Error' || name === 'UsageError' ? '' : dim(` [${name}]`);
};

const nameOf = (error: unknown): string => (hasMessage(error) ? error.name : 'Error');
const messageOf = (error: unknown): string =>
  (hasMessage(error) && error.message !== '' ? error.message : errorMessage(error)).replaceAll(
    /\s*\n\s*/g,
    ' ',
  );

const hasMessage = (error: unknown): error is { name: string; message: string } =>
  typeof error === 'object' && error !== null && 'name' in error && 'message' in error;
