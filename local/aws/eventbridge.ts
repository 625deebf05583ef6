import { join } from 'node:path';
import * as v from 'valibot';
import { JsonStore } from '../../cli/json-store.ts';
import type { UploadRequest } from '../../lib/schemas.ts';
import { messagesOf } from '../../lib/trigger/events.ts';
import { ApiError, type Operations, parseBody } from './api-error.ts';
import type { EventArchive } from './event-archive.ts';
import type { Queue } from './queue.ts';

/**
 * The calls of EventBridge that the operators make: the archive, and replays of it.
 * https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html
 */

const EVENTS = 'arn:aws:events:us-east-1:000000000000';
export const ARCHIVE_ARN = `${EVENTS}:archive/s3-vod-local`;
export const EVENT_BUS_ARN = `${EVENTS}:event-bus/default`;
export const RULE_ARN = `${EVENTS}:rule/object-created`;

const NamedArchive = v.object({ ArchiveName: v.string() });
const ReplayName = v.pipe(v.string(), v.regex(/^[.\-_A-Za-z0-9]{1,64}$/));
const Named = v.object({ ReplayName: v.string() });
const Start = v.object({
  ReplayName,
  EventSourceArn: v.literal(ARCHIVE_ARN),
  /** Seconds since 1970, as all times of these calls. */
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

export function eventBridgeOperations(dir: string, archive: EventArchive, queue: Queue): Operations {
  const replays = new JsonStore(join(dir, 'replays'), Replay);
  return {
    DescribeArchive(body) {
      const { ArchiveName } = parseBody(NamedArchive, body);
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

    StartReplay(body) {
      const { ReplayName: name, EventStartTime, EventEndTime } = parseBody(Start, body);
      if (replays.get(name))
        throw new ApiError('ResourceAlreadyExistsException', `Replay ${name} already exists.`);
      if (EventStartTime >= EventEndTime) {
        throw new ApiError('ValidationException', 'EventStartTime must be before EventEndTime.');
      }
      const began = Date.now() / 1000;
      const events = archive
        .all()
        .filter(({ time }) => time >= EventStartTime * 1000 && time < EventEndTime * 1000);
      for (const { time, event } of events) {
        for (const request of requestsOf(event)) queue.send(replayed(request, time, name));
      }
      const last = events.at(-1)?.time;
      replays.put(name, {
        ...{ ReplayName: name, EventStartTime, EventEndTime },
        ...(last !== undefined && { EventLastReplayedTime: last / 1000 }),
        ReplayStartTime: began,
        ReplayEndTime: Date.now() / 1000,
      });
      return { ReplayArn: `${EVENTS}:replay/${name}`, State: 'STARTING', ReplayStartTime: began };
    },

    DescribeReplay(body) {
      const { ReplayName: name } = parseBody(Named, body);
      const replay = v.is(ReplayName, name) ? replays.get(name) : undefined;
      if (!replay) throw new ApiError('ResourceNotFoundException', `Replay ${name} does not exist.`);
      const { ReplayName: _, ...times } = replay;
      return { ReplayName: name, ReplayArn: `${EVENTS}:replay/${name}`, State: 'COMPLETED', ...times };
    },
  };
}

const requestsOf = (event: unknown): UploadRequest[] =>
  messagesOf(event).flatMap(({ parseObjects: read }) => read().map(({ request }) => request));

/** The local S3 tells of objects as S3 does; what an archive holds, and replays, is what EventBridge makes of it. */
const replayed = (
  { bucket, key, versionId, etag, size, sequencer }: UploadRequest,
  time: number,
  name: string,
) => ({
  version: '0',
  'detail-type': 'Object Created',
  source: 'aws.s3',
  time: new Date(time).toISOString(),
  'replay-name': name,
  detail: {
    version: '0',
    bucket: { name: bucket },
    object: { key, etag, size, sequencer, ...(versionId && { 'version-id': versionId }) },
  },
});
