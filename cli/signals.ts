/** npm forwards a Ctrl-C that the terminal has already sent to the command. The second signal arrives within this time. */
const DUPLICATE_MS = 1_000;

/** The exit code of a command that a signal stopped. */
export const STOPPED = 130;

/**
 * A signal that aborts on the first SIGINT or SIGTERM. The process exits on a further one, or with `exitCode` when the
 * command has not ended `graceMs` milliseconds after the first.
 */
export function createStopSignal({ graceMs = 5_000, exitCode = STOPPED } = {}): AbortSignal {
  const controller = new AbortController();
  let stoppedAt = Number.POSITIVE_INFINITY;
  const stop = (): void => {
    if (performance.now() - stoppedAt > DUPLICATE_MS) process.exit(STOPPED);
    if (controller.signal.aborted) return;
    stoppedAt = performance.now();
    setTimeout(() => process.exit(exitCode), graceMs).unref();
    controller.abort(new Error('stopped'));
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  return controller.signal;
}
