import { failureLine } from '../../cli/errors.ts';
import { BUNDLE_DIR } from '../../deploy/paths.ts';
import { sendLogsToStandardError } from '../logs.ts';
import { type Arguments, readArguments, USAGE } from './args.ts';

/** `npm start`: the whole chain on this machine. */

/** How long a stop may take to settle what is in flight; the disk is in order at every moment all the same. */
const STOP_MS = 5_000;

async function main(argv: readonly string[]): Promise<number> {
  const given = readArguments(argv);
  if (given === 'help') {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  sendLogsToStandardError(given.verbose);
  // Only now: help, and what is wrong with the command line, is told at once.
  const [{ Run }, { startStack }, { createTerminal }, { createSeededFaults }] = await Promise.all([
    import('./run.ts'),
    import('../stack.ts'),
    import('../../cli/terminal.ts'),
    import('../fault-injection.ts'),
  ]);
  const stop = new AbortController();
  const stack = await startStack({
    ...given,
    s3Port: port(given, given.s3Port, 9000),
    vodPort: port(given, given.vodPort, 9001),
    bundleDir: given.packaged ? BUNDLE_DIR : undefined,
    env: process.env,
    faults: given.faults && createSeededFaults(given.faults.rate, given.faults.seed),
  }).catch((error: unknown) => {
    throw portTaken(error) ?? error;
  });
  const terminal = createTerminal(process.stderr);
  if (given.faults) terminal.say(faultsLine(given.faults));
  const run = new Run(given, stack, terminal);
  const stopped = onSignal(() => stop.abort(new Error('stopped')));
  try {
    await Promise.race([run.all(stop.signal), stopped]);
    if (stop.signal.aborted) {
      terminal.say('stopping: what is not finished goes on at the next start');
      return given.items.length === 0 ? 0 : 130;
    }
    return run.failures > 0 ? 1 : 0;
  } finally {
    terminal.close();
    await Promise.race([stack.close(), new Promise((end) => setTimeout(end, STOP_MS))]);
  }
}

const faultsLine = ({ rate, seed }: NonNullable<Arguments['faults']>): string =>
  `faults: ${+(rate * 100).toFixed(3)} % of the chain's requests to the local services go wrong; --seed ${seed} repeats them`;

/** Well-known ports for who drops files from elsewhere; any free one where nobody needs to know it. */
const port = ({ items }: Arguments, asked: number | undefined, usual: number): number =>
  asked ?? (items.length === 0 ? usual : 0);

/** The usual ports were typed by nobody, so the options that name others are told. */
function portTaken(error: unknown): Error | undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE' && 'port' in error)) return;
  return new Error(`port ${error.port} is in use: --s3-port and --vod-port name others, 0 is any free one`, {
    cause: error,
  });
}

/** Settles after the first Ctrl-C (or SIGTERM); a second one ends the process at once. */
function onSignal(stop: () => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(130);
      asked = true;
      stop();
      resolve();
    });
  }
  return promise;
}

const verbose = process.argv.includes('--verbose');
main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${failureLine(undefined, error, verbose)}\n`);
    process.exit(1);
  },
);
