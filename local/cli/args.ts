import { randomInt } from 'node:crypto';
import { basename } from 'node:path';
import {
  type CommandDefinition,
  flag,
  integer,
  parseBucketName,
  parseCommand,
  parseS3Uri,
  text,
} from '../../cli/args.ts';
import { UsageError } from '../../cli/errors.ts';

const MAX_SEED = 2 ** 31 - 1;

const portOption = (description: string, port: number) => {
  const defaultText = `${port} without arguments, otherwise any free port`;
  return integer('N', `${description}; 0: any free port`, { min: 0, max: 65_535, defaultText });
};

export const START = {
  name: 'npm start',
  summary:
    'Uploads videos, and images as their covers, to VOD. S3, VOD, and the state machine run in this process. ' +
    'Without arguments the command keeps running and uploads each object that arrives.',
  arguments: [
    { name: 'FILE', isOptional: true, description: 'A file to copy into the bucket under its own name' },
    { name: 's3://bucket/key', isOptional: true, description: 'An object that exists already' },
  ],
  options: {
    bucket: text('NAME', 'Bucket for FILE', { default: 'videos' }),
    data: text('DIR', 'Folder for all data', { default: '.local' }),
    json: flag('Print one JSON line per object on standard output'),
    's3-port': portOption('Port of the local S3', 9000),
    'vod-port': portOption('Port of the local VOD service', 9001),
    'time-limit': integer('SECONDS', 'Limit of each handler invocation', { min: 1, max: 900, default: 900 }),
    packaged: flag('Run the bundles that npm run package has built'),
    faults: text('N%', 'Share of requests to the local S3 and VOD service that fail'),
    seed: integer('N', 'Repeat the faults of this seed', { min: 0, max: MAX_SEED, defaultText: 'random' }),
    verbose: flag('Print the logs of the handlers, and stack traces'),
  },
  notes:
    'To use real services, set S3_ENDPOINT, AWS_*, VOD_ENDPOINT, VOD_HOST, VOD_SECRET_ID, and VOD_SECRET_KEY. ' +
    'A service that is not set runs locally.',
} as const satisfies CommandDefinition;

export type Item = { path: string } | { bucket: string; key: string };
export type Arguments = Exclude<ReturnType<typeof readArguments>, 'help'>;

/** @throws {UsageError} */
export const readArguments = (argv: readonly string[]) =>
  parseCommand(START, argv, ({ values, positionals }) => {
    const { data, json, packaged, verbose } = values;
    if (data === '') throw new UsageError('--data: expected a folder, got an empty name');
    const items = positionals.map(parseItem);
    rejectDuplicateNames(items);
    return {
      ...{ items, data, json, packaged, verbose },
      bucket: parseBucketName(values.bucket, '--bucket '),
      s3Port: values['s3-port'],
      vodPort: values['vod-port'],
      timeLimitMs: 1000 * values['time-limit'],
      faults: parseFaults(values.faults, values.seed),
    };
  });

const parseItem = (text: string): Item => (text.startsWith('s3://') ? parseS3Uri(text) : { path: text });

/** Two files of one name would overwrite each other in the bucket. */
function rejectDuplicateNames(items: readonly Item[]): void {
  const names = new Set<string>();
  for (const item of items) {
    if (!('path' in item)) continue;
    const name = basename(item.path);
    if (names.has(name))
      throw new UsageError(`${item.path}: another file is also named ${name}. Rename one of them.`);
    names.add(name);
  }
}

/** `rate`: the share of requests that fail, 0 to 1. */
function parseFaults(share: string | undefined, seed: number | undefined) {
  if (share === undefined) {
    if (seed !== undefined) throw new UsageError(`--seed ${seed}: expected --faults as well`);
    return undefined;
  }
  const percent = Number(share.slice(0, -1));
  if (!/^[0-9]{1,3}(\.[0-9]{1,3})?%$/.test(share) || percent > 100)
    throw new UsageError(`--faults ${share}: expected a percentage from 0% to 100%`);
  return { rate: percent / 100, seed: seed ?? randomInt(MAX_SEED) };
}
