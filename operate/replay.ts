import { EventBridge } from '@aws-sdk/client-eventbridge';
import { STOPPED } from '../cli/signals.ts';
import type { Terminal } from '../cli/terminal.ts';
import { formatTime, type Replay } from './args.ts';
import { pollUntil } from './poll.ts';
import { sendAws } from './request.ts';
import { findStack, type Stack } from './stack.ts';

const DAY_MS = 86_400_000;

/**
 * `npm run replay`: sends the archived events of a period to the rule of this stack again.
 * @returns the exit code @throws {Error} if the archive does not reach back to `from`, or the name is used already
 */
export async function replay(
  { target, from, to, name }: Replay,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const stack = await findStack(target);
  const client = new EventBridge();
  try {
    await checkArchive(client, stack, from);
    const start = {
      ReplayName: name,
      EventSourceArn: stack.output('ArchiveArn'),
      EventStartTime: new Date(from),
      EventEndTime: new Date(to),
      // Without a filter the other rules of the event bus would receive the events too.
      Destination: { Arn: stack.output('EventBusArn'), FilterArns: [stack.output('RuleArn')] },
    };
    await sendAws(`replay ${name}`, () => client.startReplay(start));
    terminal.print(`replay ${name}: events from ${formatTime(from)} to ${formatTime(to)}`);
    const result = await pollUntil(() => readResult(client, name, terminal), signal);
    const { State, StateReason, EventLastReplayedTime: last } = result;
    const reached = last ? `last event at ${last.toISOString()}` : 'no events';
    terminal.print(
      [`replay ${name}: ${State?.toLowerCase()}`, StateReason, reached].filter(Boolean).join(', '),
    );
    return State === 'COMPLETED' ? 0 : 1;
  } catch (error) {
    if (!signal.aborted) throw error;
    terminal.print(`stopped waiting: replay ${name} continues`);
    return STOPPED;
  }
}

async function checkArchive(client: EventBridge, stack: Stack, from: number): Promise<void> {
  const arn = stack.output('ArchiveArn');
  const name = arn.slice(arn.indexOf('/') + 1);
  const { CreationTime, RetentionDays } = await sendAws(`archive ${name}`, () =>
    client.describeArchive({ ArchiveName: name }),
  );
  const oldest = Math.max(
    CreationTime?.getTime() ?? 0,
    RetentionDays ? Date.now() - RetentionDays * DAY_MS : 0,
  );
  if (from >= oldest) return;
  throw new Error(
    `--from ${formatTime(from)}: expected ${formatTime(oldest)} or later, the oldest event in archive ${name}`,
  );
}

const ACTIVE_STATES: readonly (string | undefined)[] = ['STARTING', 'RUNNING', 'CANCELLING'];

/** @returns undefined while the replay is running */
async function readResult(client: EventBridge, name: string, terminal: Terminal) {
  const replay = await sendAws(`replay ${name}`, () => client.describeReplay({ ReplayName: name }));
  if (!ACTIVE_STATES.includes(replay.State)) return replay;
  const last = replay.EventLastReplayedTime;
  terminal.showProgress(
    `  ${replay.State?.toLowerCase()}${last ? `, events up to ${last.toISOString()}` : ''}`,
  );
  return undefined;
}
