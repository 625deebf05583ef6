import { join } from 'node:path';
import { styleText } from 'node:util';
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { duration, printable, rounded } from '../../cli/format.ts';
import { errorMessage } from '../../lib/errors.ts';
import type { Result, VideoCover } from '../../lib/schemas.ts';

/** What is said when an object's journey has ended: to people in lines, to programs in JSON. */

const good = (text: string): string => styleText('green', text, { stream: process.stderr });
const bad = (text: string): string => styleText('red', text, { stream: process.stderr });
const dim = (text: string): string => styleText('dim', text, { stream: process.stderr });

export const jsonLine = (
  { bucket, key, outcome, fileId, url, sha1, size, sent, reason, cover, coverOf }: Result,
  seconds: number,
): string =>
  JSON.stringify({
    bucket,
    key,
    outcome,
    fileId: fileId ?? null,
    url: url ?? null,
    sha1: sha1 ?? null,
    size: size ?? null,
    partsSent: sent.parts,
    bytesSent: sent.bytes,
    seconds: rounded(seconds),
    ...(cover && !isNone(cover) && { cover }),
    ...(coverOf && { coverOf }),
    ...(reason !== undefined && { reason }),
  });

const OUTCOMES: Readonly<Record<Result['outcome'], string>> = {
  uploaded: 'uploaded',
  instant: 'VOD had these bytes already',
  unchanged: 'carries its fileId already',
  waiting: 'waiting',
  superseded: 'superseded',
  deleted: 'deleted',
  skipped: 'skipped',
};

/** The result, and the object's metadata as it now stands. */
export async function resultLines(
  s3: S3Client,
  result: Result,
  seconds: number,
  vodFiles: string | undefined,
): Promise<string[]> {
  const { bucket, key, outcome, fileId, url, sha1, reason, sent, cover, coverOf } = result;
  const ended = (coverOf && COVER_OUTCOMES[outcome]) ?? OUTCOMES[outcome];
  const headline = `${good('✔')} ${printable(key)}  ${ended}${reason ? `: ${reason}` : ''}  ${dim(duration(seconds))}`;
  if (!fileId) return [headline];
  const parts =
    sent.parts === 0
      ? 'nothing'
      : `${coverOf ? '' : `${plural(sent.parts, 'part')}, `}${sent.bytes.toLocaleString('en')} bytes`;
  return [
    headline,
    field('fileId', fileId),
    field('url', url ?? ''),
    ...(vodFiles && url ? [field('file', join(vodFiles, url.slice(url.lastIndexOf('/') + 1)))] : []),
    field('SHA-1', sha1 ?? ''),
    field('sent', parts),
    ...(coverOf ? [field('cover of', coverOf.join(' '))] : []),
    ...(cover && !isNone(cover) ? [coverLine(cover)] : []),
    ...(await metadataLines(s3, bucket, key)),
  ];
}

/** An image has other words. */
const COVER_OUTCOMES: Partial<Record<Result['outcome'], string>> = {
  uploaded: 'a cover now',
  unchanged: 'a cover already',
};

const isNone = (cover: VideoCover): boolean => 'outcome' in cover && cover.outcome === 'none';

function coverLine(cover: VideoCover): string {
  if ('Error' in cover) return `    ${bad('cover')}    ${printable(cover.Cause)} ${dim(`[${cover.Error}]`)}`;
  if (cover.outcome === 'none') return '';
  return field(
    'cover',
    `${printable(cover.key)}, fileId ${cover.fileId}${cover.reason ? `: ${cover.reason}` : ''}`,
  );
}

const field = (name: string, value: string): string => `    ${dim(name.padEnd(8))} ${value}`;
const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

async function metadataLines(s3: S3Client, bucket: string, key: string): Promise<string[]> {
  const title = `    ${dim(`metadata of s3://${bucket}/${printable(key)}`)}`;
  try {
    const { Metadata: metadata = {} } = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    const width = Math.max(0, ...Object.keys(metadata).map((name) => name.length));
    return [
      title,
      ...Object.entries(metadata).map(
        ([name, value]) => `      ${dim(name.padEnd(width))} ${printable(value)}`,
      ),
    ];
  } catch (error) {
    return [`${title}: ${errorMessage(error)}`];
  }
}

type Watching = Readonly<{
  endpoint: string;
  vodEndpoint: string;
  bucket: string;
  /** Of the S3 server inside, if it is that one. */
  credentials: { accessKeyId: string; secretAccessKey: string } | undefined;
}>;

/** How to bring a file: by any S3 client, or by name where the bucket is elsewhere and its events do not come here. */
export const watchingLines = ({ endpoint, vodEndpoint, bucket, credentials }: Watching): string[] => [
  ...(credentials
    ? [
        `S3   ${endpoint}   bucket ${bucket}, access key ${credentials.accessKeyId}, secret key ${credentials.secretAccessKey}`,
        `VOD  ${vodEndpoint}`,
        '',
        'Drop a video with any S3 client (path style):',
        `  AWS_ACCESS_KEY_ID=${credentials.accessKeyId} AWS_SECRET_ACCESS_KEY=${credentials.secretAccessKey} AWS_REGION=us-east-1 \\`,
        `    aws --endpoint-url ${endpoint} s3 cp clip.mp4 s3://${bucket}/`,
      ]
    : [
        `S3   ${endpoint || 'AWS'}`,
        `VOD  ${vodEndpoint}`,
        '',
        'What is dropped there is not heard of here. Name an object:',
        `  npm run invoke -- s3://${bucket}/clip.mp4 --local`,
      ]),
  '',
  'Ctrl-C stops; what is not finished goes on at the next start.',
];
