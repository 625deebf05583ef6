import { Console } from 'node:console';

/** Keeps standard output free for results: the handlers' logs go to standard error if `verbose`, or else nowhere. */
export function sendLogsToStandardError(verbose: boolean): void {
  process.env.POWERTOOLS_LOG_LEVEL = verbose ? 'DEBUG' : 'SILENT';
  // Powertools writes to the global console only in development, and otherwise directly to standard output.
  process.env.POWERTOOLS_DEV = 'true';
  globalThis.console = new Console({ stdout: process.stderr, stderr: process.stderr });
}
