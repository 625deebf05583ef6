import {
  DescribeArchiveCommand,
  DescribeReplayCommand,
  type DescribeReplayCommandOutput,
  EventBridgeClient,
  StartReplayCommand,
} from '@aws-sdk/client-eventbridge';
import { iso, type Replay } from './args.ts';
import { pollUntil } from './poll.ts';
import { sendAws } from './request.ts';
import type { Screen } from './screen.ts';
import { findStack, type Stack } from './stack.ts';

/** `npm run replay`: the events of a stretch of time once more, to this stack's rule alone. */

const DAY_MS = 86_400_000;

/** @returns the exit code @throws {Error} where the archive does not reach back so far, or the name is taken */
export async function replay(
  { where, from, to, name }: Replay,
  screen: Screen,
  signal: AbortSignal,
): Promise<number> {
  const stack = await findStack(where);
  const client = new EventBridgeClient({});
  try {
    await checkArchive(client, stack, from);
    await sendAws(`replay ${name}`, () => client.send(startOf(stack, { from, to, name })));
    screen.say(`replay ${name}: the events from ${iso(from)} to ${iso(to)}`);
    const {
      State,
      StateReason,
      EventLastReplayedTime: last,
    } = await pollUntil(() => end(client, name, screen), signal);
    const reached = last ? `the last of them of ${last.toISOString()}` : 'there were none';
    screen.say([`replay ${name}: ${State?.toLowerCase()}`, StateReason, reached].filter(Boolean).join(', '));
    return State === 'COMPLETED' ? 0 : 1;
  } catch (error) {
    if (!signal.aborted) throw error;
    screen.say(`stopped watching: replay ${name} goes on`);
    return 130;
  } finally {
    client.destroy();
  }
}

const startOf = (stack: Stack, { from, to, name }: Omit<Replay, 'where'>): StartReplayCommand =>
  new StartReplayCommand({
    ReplayName: name,
    EventSourceArn: stack.output('ArchiveArn'),
    EventStartTime: new Date(from),
    EventEndTime: new Date(to),
    // Other rules of the bus shall not hear of it.
    Destination: { Arn: stack.output('EventBusArn'), FilterArns: [stack.output('RuleArn')] },
  });

async function checkArchive(client: EventBridgeClient, stack: Stack, from: number): Promise<void> {
  const arn = stack.output('ArchiveArn');
  const name = arn.slice(arn.indexOf('/') + 1);
  const { CreationTime, RetentionDays } = await sendAws(`archive ${name}`, () =>
    client.send(new DescribeArchiveCommand({ ArchiveName: name })),
  );
  const oldest = Math.max(
    CreationTime?.getTime() ?? 0,
    RetentionDays ? Date.now() - RetentionDays * DAY_MS : 0,
  );
  if (from >= oldest) return;
  throw new Error(
    `--from ${iso(from)}: archive ${name} holds the events since ${iso(oldest)}: give that, or later`,
  );
}

const GOING_ON: readonly (string | undefined)[] = ['STARTING', 'RUNNING', 'CANCELLING'];

async function end(
  client: EventBridgeClient,
  name: string,
  screen: Screen,
): Promise<DescribeReplayCommandOutput | undefined> {
  const replay = await sendAws(`replay ${name}`, () =>
    client.send(new DescribeReplayCommand({ ReplayName: name })),
  );
  if (!GOING_ON.includes(replay.State)) return replay;
  const last = replay.EventLastReplayedTime;
  screen.progress(`  ${replay.State?.toLowerCase()}${last ? `, events up to ${last.toISOString()}` : ''}`);
  return undefined;
}
