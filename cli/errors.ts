import { errorMessage } from '../lib/errors.ts';
import { replaceControls, style } from './format.ts';

/** An error in the command line. Its message is one line that names the option or the argument. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The name of an error and its message in one line. Accepts errors and the failures of executions. */
export function describeError(error: unknown): { name: string; message: string } {
  const isError = typeof error === 'object' && error !== null && 'name' in error && 'message' in error;
  const message = isError && error.message ? String(error.message) : errorMessage(error);
  return { name: isError ? String(error.name) : 'Error', message: message.replaceAll(/\s*\n\s*/g, ' ') };
}

/**
 * The line that reports a failure: `✘ subject  message [Name]`. The subject is left out if the message begins with it.
 * With `verbose` the stack follows, except for a usage error.
 */
export function formatError(
  error: unknown,
  { subject = '', verbose = false }: { subject?: string; verbose?: boolean } = {},
): string {
  const { name, message } = describeError(error);
  const prefix = subject === '' || message.startsWith(subject) ? '' : `${replaceControls(subject)}  `;
  const kind = name === 'Error' || name === 'UsageError' ? '' : style('dim', ` [${name}]`);
  const line = `${style('red', '✘')} ${prefix}${replaceControls(message)}${kind}`;
  const stack = error instanceof Error && !(error instanceof UsageError) ? error.stack : undefined;
  return verbose && stack ? `${line}\n${stack}` : line;
}

/** Returns a rejection handler. It replaces the error of a port that is in use with one that names the options to change it. */
export const explainPortInUse = (options: string) => (error: unknown) => {
  if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE' && 'port' in error))
    throw error;
  const message = `port ${error.port} is in use. Choose another with ${options}; 0 selects a free port.`;
  throw new Error(message, { cause: error });
};
