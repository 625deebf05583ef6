import { formatError } from './errors.ts';

/**
 * Runs the main function of a command and sets the exit code of the process. A failure is printed on standard error, with
 * its stack if `verbose`, and ends with `errorCode`.
 */
export async function runMain(
  main: (argv: readonly string[]) => Promise<number> | number,
  { verbose = false, errorCode = 1 } = {},
): Promise<void> {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${formatError(error, { verbose })}\n`);
    process.exitCode = errorCode;
  }
}
