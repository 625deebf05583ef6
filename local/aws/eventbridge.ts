import { join } from 'node:path';
import * as v from 'valibot';
import { JsonStore } from '../../cli/json-store.ts';
import { messagesOf, type ObjectCreated } from '../../lib/trigger/events.ts';
import { ApiError, type Operations, parseBody } from './api-error.ts';
import type { EventArchive } from './event-archive.ts';
import type { Queue } from './queue.ts';

const EVENTS_ARN = 'arn:aws:events:us-east-1:000000000000';
export const ARCHIVE_ARN = `${EVENTS_ARN}:archive/s3-vod-local`;
export const EVENT_BUS_ARN = `${EVENTS_ARN}:event-bus/default`;
const RULE_NAME = 'object-created';
export const RULE_ARN = `${EVENTS_ARN}:rule/${RULE_NAME}`;

const ReplayName = v.pipe(v.string(), v.regex(/^[.\-_A-Za-z0-9]{1,64}$/));

const DescribeRuleInput = v.object({ Name: v.string() });
const DescribeArchiveInput = v.object({ ArchiveName: v.string() });
const DescribeReplayInput = v.object({ ReplayName: v.string() });
const StartReplayInput = v.object({
  ReplayName,
  EventSourceArn: v.literal(ARCHIVE_ARN),
  /** Seconds since 1970, as all times of these actions. */
  EventStartTime: v.number(),
  EventEndTime: v.number(),
  Destination: v.object({
    Arn: v.literal(EVENT_BUS_ARN),
    FilterArns: v.optional(v.array(v.literal(RULE_ARN))),
  }),
});

const Replay = v.object({
  ReplayName,
  EventStartTime: v.number(),
  EventEndTime: v.number(),
  EventLastReplayedTime: v.optional(v.number()),
  ReplayStartTime: v.number(),
  ReplayEndTime: v.number(),
});

/**
 * The EventBridge actions of the operators' commands: describing the rule and the archive, and replaying the archive.
 * https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html
 * @param dir the data folder, which stores the replays
 */
export function eventBridgeOperations(dir: string, archive: EventArchive, queue: Queue): Operations {
  const replays = new JsonStore(join(dir, 'replays'), Replay);
  return {
    DescribeArchive(body) {
      const { ArchiveName } = parseBody(DescribeArchiveInput, body);
      if (!ARCHIVE_ARN.endsWith(`/${ArchiveName}`)) {
        throw new ApiError('ResourceNotFoundException', `Archive ${ArchiveName} does not exist.`);
      }
      return {
        ArchiveArn: ARCHIVE_ARN,
        ArchiveName,
        State: 'ENABLED',
        RetentionDays: 0,
        EventCount: archive.all().length,
        CreationTime: archive.startTime / 1000,
      };
    },

    DescribeRule(body) {
      const { Name } = parseBody(DescribeRuleInput, body);
      if (Name !== RULE_NAME) throw new ApiError('ResourceNotFoundException', `Rule ${Name} does not exist.`);
      return { Name, Arn: RULE_ARN, State: 'ENABLED' };
    },

    StartReplay(body) {
      const { ReplayName: name, EventStartTime, EventEndTime } = parseBody(StartReplayInput, body);
      if (replays.get(name))
        throw new ApiError('ResourceAlreadyExistsException', `Replay ${name} already exists.`);
      if (EventStartTime >= EventEndTime) {
        throw new ApiError('ValidationException', 'EventStartTime must be before EventEndTime.');
      }
      const ReplayStartTime = Date.now() / 1000;
      const events = archive
        .all()
        .filter(({ time }) => time >= EventStartTime * 1000 && time < EventEndTime * 1000);
      for (const { time, event } of events) {
        const objects = messagesOf(event).flatMap(({ parseObjects }) => parseObjects());
        for (const object of objects) queue.send(toReplayedEvent(object, time, name));
      }
      const last = events.at(-1)?.time;
      replays.put(name, {
        ...{ ReplayName: name, EventStartTime, EventEndTime, ReplayStartTime },
        ...(last !== undefined && { EventLastReplayedTime: last / 1000 }),
        ReplayEndTime: Date.now() / 1000,
      });
      return { ReplayArn: `${EVENTS_ARN}:replay/${name}`, State: 'STARTING', ReplayStartTime };
    },

    DescribeReplay(body) {
      const { ReplayName: name } = parseBody(DescribeReplayInput, body);
      const replay = v.is(ReplayName, name) ? replays.get(name) : undefined;
      if (!replay) throw new ApiError('ResourceNotFoundException', `Replay ${name} does not exist.`);
      return { ...replay, ReplayArn: `${EVENTS_ARN}:replay/${name}`, State: 'COMPLETED' };
    },
  };
}

/** The local S3 sends S3 notifications. An archive contains, and replays, EventBridge events. */
const toReplayedEvent = (
  { request: { bucket, key, versionId, etag, size, sequencer }, isCopy }: ObjectCreated,
  time: number,
  replayName: string,
) => ({
  version: '0',
  'detail-type': 'Object Created',
  source: 'aws.s3',
  time: new Date(time).toISOString(),
  'replay-name': replayName,
  detail: {
    version: '0',
    bucket: { name: bucket },
    object: { key, etag, size, sequencer, ...(versionId && { 'version-id': versionId }) },
    reason: isCopy ? 'CopyObject' : 'PutObject',
  },
});
