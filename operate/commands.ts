import type { CommandDefinition } from '../cli/args.ts';
import { formatError, UsageError } from '../cli/errors.ts';
import { STOPPED } from '../cli/signals.ts';
import type { Terminal } from '../cli/terminal.ts';
import { usage } from '../cli/usage.ts';
import * as args from './args.ts';

type Run<A> = (args: A, terminal: Terminal, signal: AbortSignal) => Promise<number>;

/** `load` imports the command after its arguments are read, so that help and usage errors need no AWS SDK. */
const createCommand =
  <A extends object>(
    definition: CommandDefinition,
    read: (argv: readonly string[]) => A | 'help',
    load: () => Promise<Run<A>>,
  ): Run<readonly string[]> =>
  async (argv, terminal, signal) => {
    const parsed = read(argv);
    if (parsed !== 'help') return (await load())(parsed, terminal, signal);
    terminal.print(usage(definition));
    return 0;
  };

const COMMANDS = {
  invoke: createCommand(args.INVOKE, args.readInvoke, async () => (await import('./invoke.ts')).invoke),
  replay: createCommand(args.REPLAY, args.readReplay, async () => (await import('./replay.ts')).replay),
  redrive: createCommand(args.REDRIVE, args.readRedrive, async () => (await import('./redrive.ts')).redrive),
  backfill: createCommand(
    args.BACKFILL,
    args.readBackfill,
    async () => (await import('./backfill.ts')).backfill,
  ),
  doctor: createCommand(args.DOCTOR, args.readDoctor, async () => (await import('./doctor.ts')).doctor),
  'enable-events': createCommand(
    args.ENABLE_EVENTS,
    args.readEnableEvents,
    async () => (await import('./enable-events.ts')).enableEvents,
  ),
};

const isCommand = (name: string): name is keyof typeof COMMANDS => Object.hasOwn(COMMANDS, name);

/** Runs a command. @returns the exit code: 1 after a failure, which is printed in one line; 130 after a signal */
export async function runCommand(
  [name = '', ...argv]: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  try {
    if (!isCommand(name))
      throw new UsageError(`command ${name}: expected one of ${Object.keys(COMMANDS).join(', ')}`);
    return await COMMANDS[name](argv, terminal, signal);
  } catch (error) {
    if (signal.aborted) return STOPPED;
    terminal.printError(formatError(error));
    return 1;
  }
}
