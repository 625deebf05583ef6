import { UsageError } from '../cli/args.ts';
import { failureLine } from '../cli/errors.ts';
import * as given from './args.ts';
import type { Screen } from './screen.ts';

/** The ways in for operators, by their names. */

type Act<G> = (given: G, screen: Screen, signal: AbortSignal) => Promise<number>;
type Command = (argv: readonly string[], screen: Screen, signal: AbortSignal) => Promise<number>;

/** `load` comes after reading: help, and what is wrong with the command line, is told at once. */
const command =
  <G extends object>(
    usage: string,
    read: (argv: readonly string[]) => G | 'help',
    load: () => Promise<Act<G>>,
  ): Command =>
  async (argv, screen, signal) => {
    const said = read(argv);
    if (said !== 'help') return (await load())(said, screen, signal);
    screen.say(usage);
    return 0;
  };

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['invoke', command(given.INVOKE_USAGE, given.readInvoke, async () => (await import('./invoke.ts')).invoke)],
  ['replay', command(given.REPLAY_USAGE, given.readReplay, async () => (await import('./replay.ts')).replay)],
  [
    'redrive',
    command(given.REDRIVE_USAGE, given.readRedrive, async () => (await import('./redrive.ts')).redrive),
  ],
  [
    'backfill',
    command(given.BACKFILL_USAGE, given.readBackfill, async () => (await import('./backfill.ts')).backfill),
  ],
]);

/** @returns the exit code: 1 where something failed, told in one line; 130 where it was stopped */
export async function run(
  [name = '', ...argv]: readonly string[],
  screen: Screen,
  signal: AbortSignal,
): Promise<number> {
  try {
    const act = COMMANDS.get(name);
    if (!act)
      throw new UsageError(`${name || 'nothing'}: expected one of ${[...COMMANDS.keys()].join(', ')}`);
    return await act(argv, screen, signal);
  } catch (error) {
    if (signal.aborted) return 130;
    screen.warn(failureLine(undefined, error, false));
    return 1;
  }
}
