import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainPortInUse } from '../../cli/errors.ts';
import { runMain } from '../../cli/run-main.ts';
import { createStopSignal, STOPPED } from '../../cli/signals.ts';
import { createTerminal } from '../../cli/terminal.ts';
import { printUsage } from '../../cli/usage.ts';
import { BUNDLE_DIR } from '../../deploy/paths.ts';
import { sendLogsToStandardError } from '../logs.ts';
import { type Arguments, readArguments, START } from './args.ts';

/** How long a stop may take. The data folder is consistent at every moment all the same. */
const STOP_MS = 5_000;

/** `npm start`: runs the whole pipeline on this machine. */
async function main(argv: readonly string[]): Promise<number> {
  const args = readArguments(argv);
  if (args === 'help') return printUsage(START);
  sendLogsToStandardError(args.verbose);
  // Imported after the arguments are checked, so that help and usage errors appear immediately.
  const [{ Run }, { startStack }, { createSeededFaults }] = await Promise.all([
    import('./run.ts'),
    import('../stack.ts'),
    import('../fault-injection.ts'),
  ]);
  const stack = await startStack({
    ...args,
    s3Port: args.s3Port ?? defaultPort(args, 9000),
    vodPort: args.vodPort ?? defaultPort(args, 9001),
    bundleDir: args.packaged ? BUNDLE_DIR : undefined,
    env: process.env,
    faults: args.faults && createSeededFaults(args.faults.rate, args.faults.seed),
  }).catch(explainPortInUse('--s3-port or --vod-port'));
  const terminal = createTerminal(process.stdout, process.stderr);
  if (args.faults) terminal.printError(faultsLine(args.faults));
  const run = new Run(args, stack, terminal);
  const exitCode = args.items.length === 0 ? 0 : STOPPED;
  const signal = createStopSignal({ graceMs: STOP_MS, exitCode });
  try {
    await Promise.race([run.all(signal), once(signal, 'abort')]);
    if (!signal.aborted) return run.failures > 0 ? 1 : 0;
    terminal.printError('stopping; unfinished work continues at the next start');
    return exitCode;
  } finally {
    run.close();
    terminal.close();
    await Promise.race([stack.close(), sleep(STOP_MS)]);
  }
}

const faultsLine = ({ rate, seed }: NonNullable<Arguments['faults']>): string =>
  `faults: ${+(rate * 100).toFixed(3)} % of the requests to the local services fail; --seed ${seed} repeats them`;

/** A fixed port for clients that upload to a running stack, or any free port for the objects of one command. */
const defaultPort = ({ items }: Arguments, port: number): number => (items.length === 0 ? port : 0);

await runMain(main, { verbose: process.argv.includes('--verbose') });
process.exit();
