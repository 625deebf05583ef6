import {
  type CommandDefinition,
  flag,
  integer,
  parseBucketName,
  parseCommand,
  parseS3Uri,
  text,
  type Values,
} from '../cli/args.ts';
import { UsageError } from '../cli/errors.ts';
import { parseTime } from './parse-time.ts';

const STACK_OPTIONS = {
  stack: text('NAME', 'Name of the deployed stack', { defaultText: 's3-vod-STAGE' }),
  stage: text('STAGE', 'Stage of the deployed stack', { defaultText: 'dev' }),
  region: text('REGION', 'Region of the deployed stack', { defaultText: 'as configured for the AWS SDK' }),
  local: flag('Use the stack that npm start runs on this machine; needs no account'),
  data: text('DIR', 'Data folder of the local stack', { defaultText: '.local' }),
} as const;

/** The default leaves quota for new objects: VOD grants an account 100 uploads per minute. */
const PER_MINUTE = { min: 1, max: 60_000, default: 60 } as const;

/** A deployed stack, or the data folder of a stack that runs on this machine. */
export type StackTarget = Readonly<{ local: string } | { stack: string; region: string | undefined }>;

function parseTarget({ stack, stage, region, local, data }: Values<typeof STACK_OPTIONS>): StackTarget {
  for (const [option, value] of Object.entries({ stack, stage, region })) {
    if (local && value !== undefined)
      throw new UsageError(`--${option} ${value}: expected no deployed stack with --local`);
    if (value === '') throw new UsageError(`--${option}: expected a name, got an empty one`);
  }
  if (stack !== undefined && stage !== undefined)
    throw new UsageError('--stack and --stage: expected only one of them');
  if (local) return { local: data ?? '.local' };
  if (data !== undefined) throw new UsageError(`--data ${data}: expected --local as well. Add --local.`);
  return { stack: stack ?? `s3-vod-${stage ?? 'dev'}`, region };
}

export const INVOKE = {
  name: 'npm run invoke',
  summary: 'Starts an execution for one object and waits until it ends.',
  arguments: [{ name: 's3://bucket/key', description: 'The object' }],
  options: {
    'version-id': text('ID', 'Expect this version of the object'),
    options: text('JSON', 'Upload options: classId, tags, transcode, screenshot, watermark, fileName'),
    force: flag('Call VOD even if the object has a fileId, for example after the file was deleted there'),
    detach: flag('Do not wait until the execution ends'),
    ...STACK_OPTIONS,
  },
} as const satisfies CommandDefinition;

/** @throws {UsageError} */
export const readInvoke = (argv: readonly string[]) =>
  parseCommand(INVOKE, argv, ({ values, argument }) => {
    const { 'version-id': versionId, options, force, detach } = values;
    return {
      target: parseTarget(values),
      request: {
        ...parseS3Uri(argument),
        ...(versionId !== undefined && { versionId }),
        ...(options !== undefined && { options: parseJson('--options', options) }),
        ...(force && { force }),
      },
      detach,
    };
  });

export const REPLAY = {
  name: 'npm run replay',
  summary:
    'Sends the archived bucket events of a period to the stack again. Each object is checked again; a file that VOD ' +
    'has is not uploaded again.',
  arguments: [],
  options: {
    from: text('T', 'Start: ISO 8601, or a time ago such as 90m, 2h, 3d', { isRequired: true }),
    to: text('T', 'End, in the same formats', { defaultText: 'now' }),
    name: text('NAME', 'Name of the replay; can be used once', { defaultText: 's3-vod- and the time' }),
    ...STACK_OPTIONS,
  },
} as const satisfies CommandDefinition;

/** Times are in milliseconds since 1970. @throws {UsageError} */
export const readReplay = (argv: readonly string[], now = Date.now()) =>
  parseCommand(REPLAY, argv, ({ values }) => {
    const from = parseTime('--from', values.from, now);
    const to = parseTime('--to', values.to ?? '0s', now);
    if (from >= to)
      throw new UsageError(`--from ${formatTime(from)}: expected a time before --to ${formatTime(to)}`);
    // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html
    const name = values.name ?? `s3-vod-${formatTime(now).replace(/[:.]/g, '-')}`;
    if (!/^[.\-_A-Za-z0-9]{1,64}$/.test(name)) {
      throw new UsageError(
        `--name ${name}: expected 1 to 64 characters: letters, digits, dots, hyphens, and underscores`,
      );
    }
    return { target: parseTarget(values), from, to, name };
  });

export const REDRIVE = {
  name: 'npm run redrive',
  summary:
    'Moves dead letters back to the queue, after it prints their reasons, and redrives failed executions from the state that failed. Executions ' +
    'that failed more than 14 days ago are restarted instead. Parts that VOD has are not sent again.',
  arguments: [],
  options: {
    since: text('T', 'Failed since: ISO 8601, or a time ago; 90d at most', { default: '14d' }),
    'per-minute': integer('N', 'Executions to redrive per minute', PER_MINUTE),
    'dry-run': flag('Print what would be done, and change nothing'),
    ...STACK_OPTIONS,
  },
} as const satisfies CommandDefinition;

/** `since` is in milliseconds since 1970. @throws {UsageError} */
export const readRedrive = (argv: readonly string[], now = Date.now()) =>
  parseCommand(REDRIVE, argv, ({ values }) => ({
    target: parseTarget(values),
    since: parseTime('--since', values.since, now),
    perMinute: values['per-minute'],
    dryRun: values['dry-run'],
  }));

export const BACKFILL = {
  name: 'npm run backfill',
  summary:
    'Starts an execution for each video under the prefix that has no fileId. After an interruption the same command ' +
    'continues at its checkpoint. VOD grants an account 100 uploads per minute.',
  arguments: [{ name: 's3://bucket/prefix', description: 'The bucket of the stack, and a prefix or none' }],
  options: {
    'per-minute': integer('N', 'Executions to start per minute', PER_MINUTE),
    restart: flag('Ignore the checkpoint of an earlier run'),
    'dry-run': flag('Print what would be started, and start nothing'),
    ...STACK_OPTIONS,
  },
} as const satisfies CommandDefinition;

/** @throws {UsageError} */
export const readBackfill = (argv: readonly string[]) =>
  parseCommand(BACKFILL, argv, ({ values, argument }) => {
    const { bucket, key: prefix } = parseS3Uri(argument, 's3://bucket/prefix');
    const { 'per-minute': perMinute, restart, 'dry-run': dryRun } = values;
    return { target: parseTarget(values), bucket, prefix, perMinute, restart, dryRun };
  });

export const DOCTOR = {
  name: 'npm run doctor',
  summary:
    'Checks an account and a stack: keys, events, limits, and what a write-back costs the bucket. Changes nothing. ' +
    'Exits with 1 if a check fails.',
  arguments: [],
  options: { json: flag('Print one JSON line per check'), ...STACK_OPTIONS },
} as const satisfies CommandDefinition;

/** @throws {UsageError} */
export const readDoctor = (argv: readonly string[]) =>
  parseCommand(DOCTOR, argv, ({ values }) => ({ target: parseTarget(values), json: values.json }));

export const ENABLE_EVENTS = {
  name: 'npm run enable-events',
  summary:
    'Lets an existing bucket send its events to EventBridge. Adds EventBridge to the notification configuration and ' +
    'keeps the rest. A second run changes nothing.',
  arguments: [{ name: 'BUCKET', description: 'Name of the bucket' }],
  options: {
    owner: text('ACCOUNT', 'Fail unless the bucket belongs to this account (12 digits)'),
    region: text('REGION', 'Region of the bucket', { defaultText: 'as configured for the AWS SDK' }),
  },
  notes:
    'Needs s3:GetBucketNotification and s3:PutBucketNotification on the bucket. S3_ENDPOINT and AWS_* select another store.',
} as const satisfies CommandDefinition;

/** @throws {UsageError} */
export const readEnableEvents = (argv: readonly string[]) =>
  parseCommand(ENABLE_EVENTS, argv, ({ values: { owner, region }, argument }) => {
    const bucket = parseBucketName(argument);
    if (owner !== undefined && !/^\d{12}$/.test(owner))
      throw new UsageError(`--owner ${owner}: expected an account ID of 12 digits`);
    return { bucket, owner, region };
  });

type ArgumentsOf<R extends (argv: readonly string[]) => unknown> = Exclude<ReturnType<R>, 'help'>;
export type Invoke = ArgumentsOf<typeof readInvoke>;
export type Replay = ArgumentsOf<typeof readReplay>;
export type Redrive = ArgumentsOf<typeof readRedrive>;
export type Backfill = ArgumentsOf<typeof readBackfill>;
export type Doctor = ArgumentsOf<typeof readDoctor>;
export type EnableEvents = ArgumentsOf<typeof readEnableEvents>;

export const formatTime = (time: number): string => new Date(time).toISOString();

function parseJson(option: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${option} ${text}: expected JSON`);
  }
}
