import type { CommandDefinition } from '../cli/args.ts';
import { formatError, UsageError } from '../cli/errors.ts';
import { STOPPED } from '../cli/signals.ts';
import type { Terminal } from '../cli/terminal.ts';
import { usage } from '../cli/usage.ts';
import {
  BACKFILL,
  ENABLE_EVENTS,
  INVOKE,
  REDRIVE,
  REPLAY,
  readBackfill,
  readEnableEvents,
  readInvoke,
  readRedrive,
  readReplay,
} from './args.ts';

type Run<A> = (args: A, terminal: Terminal, signal: AbortSignal) => Promise<number>;

/** `load` imports the command after its arguments are read, so that help and usage errors need no AWS SDK. */
const createCommand =
  <A extends object>(
    definition: CommandDefinition,
    read: (argv: readonly string[]) => A | 'help',
    load: () => Promise<Run<A>>,
  ): Run<readonly string[]> =>
  async (argv, terminal, signal) => {
    const args = read(argv);
    if (args !== 'help') return (await load())(args, terminal, signal);
    terminal.print(usage(definition));
    return 0;
  };

const COMMANDS: Readonly<Record<string, Run<readonly string[]>>> = {
  invoke: createCommand(INVOKE, readInvoke, async () => (await import('./invoke.ts')).invoke),
  replay: createCommand(REPLAY, readReplay, async () => (await import('./replay.ts')).replay),
  redrive: createCommand(REDRIVE, readRedrive, async () => (await import('./redrive.ts')).redrive),
  backfill: createCommand(BACKFILL, readBackfill, async () => (await import('./backfill.ts')).backfill),
  'enable-events': createCommand(
    ENABLE_EVENTS,
    readEnableEvents,
    async () => (await import('./enable-events.ts')).enableEvents,
  ),
};

/** Runs a command. @returns the exit code: 1 after a failure, which is printed in one line; 130 after a signal */
export async function runCommand(
  [name = '', ...argv]: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  try {
    const command = COMMANDS[name];
    if (!command)
      throw new UsageError(`command ${name}: expected one of ${Object.keys(COMMANDS).join(', ')}`);
    return await command(argv, terminal, signal);
  } catch (error) {
    if (signal.aborted) return STOPPED;
    terminal.printError(formatError(error));
    return 1;
  }
}
