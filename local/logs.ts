import { Console } from 'node:console';

/** Standard output is for results: the handlers' logs are off, or, asked for, go to standard error. */
export function sendLogsToStandardError(verbose: boolean): void {
  process.env.POWERTOOLS_LOG_LEVEL = verbose ? 'DEBUG' : 'SILENT';
  // Powertools writes to the global console in development only, and straight to standard output otherwise.
  process.env.POWERTOOLS_DEV = 'true';
  globalThis.console = new Console({ stdout: process.stderr, stderr: process.stderr });
}
