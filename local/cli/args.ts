import { randomInt } from 'node:crypto';
import { basename } from 'node:path';
import { parseInteger, parseS3Uri, readOptions, UsageError } from '../../cli/args.ts';

/** The command line of `npm start`, read and checked before anything begins. */

export const USAGE = `npm start -- [options] [FILE | s3://bucket/key ...]

Brings videos, and images as their covers, over to VOD on this machine: S3, VOD, and the state machine run inside.
  FILE             is dropped into the bucket under its own name
  s3://bucket/key  is an object that is there already
  nothing          stays up and takes every object that arrives

  --bucket NAME         bucket for FILE (default: videos)
  --data DIR            where all of it is kept (default: .local)
  --json                one JSON line per object on standard output
  --s3-port N           port of the local S3 (0: any free one)
  --vod-port N          port of the local VOD service (0: any free one)
  --time-limit SECONDS  limit of each handler invocation (default: 900)
  --packaged            runs the code that would be deployed, as npm run package has built it
  --faults N%           of the chain's requests, N % go wrong in the local S3 and VOD service
  --seed N              the same faults again
  --verbose             the handlers' logs, and stack traces
  --help

S3_ENDPOINT, AWS_*, VOD_ENDPOINT, VOD_HOST, VOD_SECRET_ID, VOD_SECRET_KEY name real services;
what is not set is served locally.`;

export type Item = { path: string } | { bucket: string; key: string };

export type Arguments = Readonly<{
  items: readonly Item[];
  bucket: string;
  data: string;
  json: boolean;
  packaged: boolean;
  verbose: boolean;
  s3Port: number | undefined;
  vodPort: number | undefined;
  timeLimitMs: number;
  /** Share of the requests that go wrong, 0 to 1, and the seed that says which. */
  faults: Readonly<{ rate: number; seed: number }> | undefined;
}>;

const OPTIONS = {
  bucket: { type: 'string', default: 'videos' },
  data: { type: 'string', default: '.local' },
  json: { type: 'boolean', default: false },
  packaged: { type: 'boolean', default: false },
  verbose: { type: 'boolean', default: false },
  's3-port': { type: 'string' },
  'vod-port': { type: 'string' },
  'time-limit': { type: 'string', default: '900' },
  faults: { type: 'string' },
  seed: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

/** @returns `help` where that is asked for @throws {UsageError} naming the option */
export function readArguments(argv: readonly string[]): Arguments | 'help' {
  const { values, positionals } = readOptions('npm start', argv, OPTIONS);
  if (values.help) return 'help';
  if (values.data === '') throw new UsageError('--data: expected a folder');
  const items = positionals.map(item);
  refuseNamesakes(items);
  return {
    items,
    bucket: bucketName(values.bucket),
    data: values.data,
    json: values.json,
    packaged: values.packaged,
    verbose: values.verbose,
    s3Port:
      values['s3-port'] === undefined ? undefined : parseInteger('--s3-port', values['s3-port'], 0, 65_535),
    vodPort:
      values['vod-port'] === undefined
        ? undefined
        : parseInteger('--vod-port', values['vod-port'], 0, 65_535),
    timeLimitMs: 1000 * parseInteger('--time-limit', values['time-limit'], 1, 900),
    faults: faults(values.faults, values.seed),
  };
}

const item = (text: string): Item => (text.startsWith('s3://') ? parseS3Uri(text) : { path: text });

/** Of two files with one name the second would overwrite the first in the bucket. */
function refuseNamesakes(items: readonly Item[]): void {
  const names = new Set<string>();
  for (const item of items) {
    if (!('path' in item)) continue;
    const name = basename(item.path);
    if (names.has(name))
      throw new UsageError(`${item.path}: another file named ${name} is given: they cannot both be dropped`);
    names.add(name);
  }
}

const LARGEST_SEED = 2 ** 31 - 1;

function faults(share: string | undefined, seed: string | undefined): Arguments['faults'] {
  if (share === undefined) {
    if (seed === undefined) return undefined;
    throw new UsageError(`--seed ${seed}: it is the seed of --faults, which is not given`);
  }
  const percent = Number(share.slice(0, -1));
  if (!/^[0-9]{1,3}(\.[0-9]{1,3})?%$/.test(share) || percent > 100) {
    throw new UsageError(`--faults ${share}: expected a percentage from 0% to 100%`);
  }
  return {
    rate: percent / 100,
    seed: seed === undefined ? randomInt(LARGEST_SEED) : parseInteger('--seed', seed, 0, LARGEST_SEED),
  };
}

function bucketName(name: string): string {
  // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
  if (/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) return name;
  throw new UsageError(`--bucket ${name}: expected 3 to 63 of a-z, 0-9, dot, and hyphen`);
}
