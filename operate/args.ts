import { expectNone, expectOne, parseInteger, parseS3Uri, readOptions, UsageError } from '../cli/args.ts';
import { readTime } from './parse-time.ts';

/** The command lines of the operators' commands, read and checked before anything is asked. */

const STACK_USAGE = `
  --stack NAME     the deployed stack (default: s3-vod-STAGE)
  --stage STAGE    of its name (default: dev)
  --region REGION  where it is deployed (default: as the AWS SDK finds it)
  --local          the stack that runs on this machine (npm start), with no account
  --data DIR       its data folder (default: .local)
  --help`;

const STACK = {
  stack: { type: 'string' },
  stage: { type: 'string' },
  region: { type: 'string' },
  local: { type: 'boolean', default: false },
  data: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

/** Where the stack is: running on a data folder of this machine, or deployed. */
export type StackTarget = Readonly<{ local: string } | { stack: string; region: string | undefined }>;

type StackValues = Readonly<{
  stack?: string;
  stage?: string;
  region?: string;
  local: boolean;
  data?: string;
}>;

function where({ stack, stage, region, local, data }: StackValues): StackTarget {
  for (const [option, value] of Object.entries({ stack, stage, region })) {
    if (local && value !== undefined)
      throw new UsageError(`--${option} names a deployed stack: not with --local`);
    if (value === '') throw new UsageError(`--${option}: expected a name, got nothing`);
  }
  if (stack !== undefined && stage !== undefined)
    throw new UsageError('--stack and --stage: one of them names the stack');
  if (local) return { local: data ?? '.local' };
  if (data !== undefined) throw new UsageError('--data is the folder of a local stack: it goes with --local');
  return { stack: stack ?? `s3-vod-${stage ?? 'dev'}`, region };
}

export type Invoke = Readonly<{
  where: StackTarget;
  request: Readonly<{ bucket: string; key: string; versionId?: string; options?: unknown; force?: true }>;
  detach: boolean;
}>;

export const INVOKE_USAGE = `npm run invoke -- s3://bucket/key [options]

Has the trigger start an execution for one object, now, and tells how it ends.

  --version-id ID  expect this version of it
  --options JSON   what VOD is to make of it: {"classId", "tags", "transcode", "screenshot", "watermark", "fileName"}
  --force          ask VOD even where the object carries its fileId: the file may have been deleted there
  --detach         do not wait for the end
${STACK_USAGE}`;

/** @throws {UsageError} */
export function readInvoke(argv: readonly string[]): Invoke | 'help' {
  const { values, positionals } = readOptions('npm run invoke', argv, {
    ...STACK,
    'version-id': { type: 'string' },
    options: { type: 'string' },
    force: { type: 'boolean', default: false },
    detach: { type: 'boolean', default: false },
  });
  if (values.help) return 'help';
  const { bucket, key } = parseS3Uri(expectOne(positionals, 's3://bucket/key'));
  const { 'version-id': versionId, options, force, detach } = values;
  return {
    where: where(values),
    request: {
      ...{ bucket, key },
      ...(versionId !== undefined && { versionId }),
      ...(options !== undefined && { options: fromJson('--options', options) }),
      ...(force && { force }),
    },
    detach,
  };
}

/** Times in milliseconds since 1970. */
export type Replay = Readonly<{ where: StackTarget; from: number; to: number; name: string }>;

export const REPLAY_USAGE = `npm run replay -- --from T [--to T] [options]

Replays the events of the stack's archive: every object that they name is looked at again. What VOD has is not sent again.

  --from T         ISO 8601 (2026-11-21T18:00:00Z), or how long ago: 90m, 2h, 3d
  --to T           the same (default: now)
  --name NAME      of the replay; one name is replayed once (default: of the time)
${STACK_USAGE}`;

/** @throws {UsageError} */
export function readReplay(argv: readonly string[], now = Date.now()): Replay | 'help' {
  const { values, positionals } = readOptions('npm run replay', argv, {
    ...STACK,
    from: { type: 'string' },
    to: { type: 'string', default: '0s' },
    name: { type: 'string' },
  });
  if (values.help) return 'help';
  expectNone(positionals);
  if (values.from === undefined) throw new UsageError('--from is missing: --from 2h, or a time in ISO 8601');
  const from = readTime('--from', values.from, now);
  const to = readTime('--to', values.to, now);
  if (from >= to) throw new UsageError(`--from ${iso(from)} is not before --to ${iso(to)}`);
  // https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html
  const name = values.name ?? `s3-vod-${iso(now).replace(/[:.]/g, '-')}`;
  if (!/^[.\-_A-Za-z0-9]{1,64}$/.test(name)) {
    throw new UsageError(`--name ${name}: expected 1 to 64 of letters, digits, dot, hyphen, and underscore`);
  }
  return { where: where(values), from, to, name };
}

export type Redrive = Readonly<{ where: StackTarget; since: number; dryRun: boolean }>;

export const REDRIVE_USAGE = `npm run redrive -- [options]

Puts the dead letters back into the queue, and has failed executions go on from where they failed. Those that cannot be
redriven any more (14 days) begin anew. What was sent is not sent again.

  --since T        executions that failed since then: ISO 8601, or how long ago (default: 14d; at most 90d are kept)
  --dry-run        say what would be done, and do nothing
${STACK_USAGE}`;

/** @throws {UsageError} */
export function readRedrive(argv: readonly string[], now = Date.now()): Redrive | 'help' {
  const { values, positionals } = readOptions('npm run redrive', argv, {
    ...STACK,
    since: { type: 'string', default: '14d' },
    'dry-run': { type: 'boolean', default: false },
  });
  if (values.help) return 'help';
  expectNone(positionals);
  return {
    where: where(values),
    since: readTime('--since', values.since, now),
    dryRun: values['dry-run'],
  };
}

export type Backfill = Readonly<{
  where: StackTarget;
  bucket: string;
  prefix: string;
  perMinute: number;
  restart: boolean;
  dryRun: boolean;
}>;

export const BACKFILL_USAGE = `npm run backfill -- s3://bucket/prefix [options]

Starts an execution for each video under the prefix that carries no fileId. Stopped, or killed, it goes on where it was
when the same command is given again.

  --per-minute N   executions started a minute, evenly (default: 60; the account may open 100 uploads a minute)
  --restart        from the beginning, whatever an earlier run has looked at
  --dry-run        say what would be started, and start nothing
${STACK_USAGE}`;

/** @throws {UsageError} */
export function readBackfill(argv: readonly string[]): Backfill | 'help' {
  const { values, positionals } = readOptions('npm run backfill', argv, {
    ...STACK,
    'per-minute': { type: 'string', default: '60' },
    restart: { type: 'boolean', default: false },
    'dry-run': { type: 'boolean', default: false },
  });
  if (values.help) return 'help';
  const { bucket, key: prefix } = parseS3Uri(
    expectOne(positionals, 's3://bucket/prefix'),
    's3://bucket/prefix',
  );
  return {
    where: where(values),
    bucket,
    prefix,
    perMinute: parseInteger('--per-minute', values['per-minute'], 1, 60_000),
    restart: values.restart,
    dryRun: values['dry-run'],
  };
}

export const iso = (time: number): string => new Date(time).toISOString();

function fromJson(option: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${option} ${text}: expected JSON`);
  }
}
