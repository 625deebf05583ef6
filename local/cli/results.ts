import { join } from 'node:path';
import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { describeError } from '../../cli/errors.ts';
import { formatDuration, replaceControls, style } from '../../cli/format.ts';
import { LOCAL_S3_CREDENTIALS } from '../../cli/running-file.ts';
import { errorMessage } from '../../lib/errors.ts';
import type { Result, VideoCover } from '../../lib/schemas.ts';
import type { Stack } from '../stack.ts';

export type ObjectName = Readonly<{ bucket: string; key: string }>;

/** The JSON line of a result. */
export const resultJson = ({ sent, cover, coverOf, reason, ...file }: Result, seconds: number): string =>
  jsonLine({ ...file, partsSent: sent.parts, bytesSent: sent.bytes }, seconds, {
    ...{ cover: cover && hasCover(cover) ? cover : undefined, coverOf, reason },
  });

/** The JSON line of a failure. It has the fields of a result. */
export function failureJson(object: ObjectName, error: unknown, seconds: number): string {
  const { name, message } = describeError(error);
  return jsonLine({ ...object, outcome: 'failed' }, seconds, { error: name, reason: message });
}

type Fields = ObjectName &
  Readonly<{ outcome: string; partsSent?: number; bytesSent?: number }> &
  Pick<Result, 'fileId' | 'url' | 'sha1' | 'size'>;

function jsonLine({ bucket, key, outcome, ...file }: Fields, seconds: number, more: object): string {
  const { fileId = null, url = null, sha1 = null, size = null, partsSent = null, bytesSent = null } = file;
  const fields = { bucket, key, outcome, fileId, url, sha1, size, partsSent, bytesSent };
  return JSON.stringify({ ...fields, seconds: Number(seconds.toFixed(3)), ...more });
}

/** The texts for outcomes that do not describe themselves. */
const OUTCOMES: Partial<Record<Result['outcome'], string>> = {
  instant: 'VOD already had the file',
  unchanged: 'already uploaded',
};

/** The texts for an image. */
const COVER_OUTCOMES: typeof OUTCOMES = { uploaded: 'now a cover', unchanged: 'already a cover' };

/** The lines that report a result, and the metadata that the object has now. */
export async function resultLines(
  s3: S3Client,
  result: Result,
  seconds: number,
  vodFiles: string | undefined,
): Promise<string[]> {
  const { bucket, key, outcome, fileId, url, sha1, reason, sent, cover, coverOf } = result;
  const text = (coverOf && COVER_OUTCOMES[outcome]) ?? OUTCOMES[outcome] ?? outcome;
  const headline = `${style('green', '✔')} ${replaceControls(key)}  ${text}${reason ? `: ${reason}` : ''}  ${style('dim', formatDuration(seconds))}`;
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
    ...(sha1 === undefined ? [] : [field('SHA-1', sha1)]),
    field('sent', parts),
    ...(coverOf ? [field('cover of', coverOf.join(' '))] : []),
    ...(cover ? coverLines(cover) : []),
    ...(await metadataLines(s3, bucket, key)),
  ];
}

const hasCover = (cover: VideoCover): boolean => !('outcome' in cover && cover.outcome === 'none');

function coverLines(cover: VideoCover): string[] {
  if ('Error' in cover)
    return [field('cover', `${replaceControls(cover.Cause)} ${style('dim', `[${cover.Error}]`)}`, 'red')];
  if (cover.outcome === 'none') return [];
  const { key, fileId, reason } = cover;
  return [field('cover', `${replaceControls(key)}, fileId ${fileId}${reason ? `: ${reason}` : ''}`)];
}

const field = (name: string, value: string, format: 'dim' | 'red' = 'dim'): string =>
  `    ${style(format, name.padEnd(8))} ${value}`;
const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

async function metadataLines(s3: S3Client, bucket: string, key: string): Promise<string[]> {
  const title = `    ${style('dim', `metadata of s3://${bucket}/${replaceControls(key)}`)}`;
  try {
    const { Metadata: metadata = {} } = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    const width = Math.max(0, ...Object.keys(metadata).map((name) => name.length));
    return [
      title,
      ...Object.entries(metadata).map(
        ([name, value]) => `      ${style('dim', name.padEnd(width))} ${replaceControls(value)}`,
      ),
    ];
  } catch (error) {
    return [`${title}: ${errorMessage(error)}`];
  }
}

const { accessKeyId, secretAccessKey } = LOCAL_S3_CREDENTIALS;

/** The lines that explain how to upload an object while the command runs. Events of another S3 do not arrive here. */
export const instructionLines = (
  { s3Endpoint, vodEndpoint, emitsEvents }: Pick<Stack, 's3Endpoint' | 'vodEndpoint' | 'emitsEvents'>,
  bucket: string,
): string[] => [
  ...(emitsEvents
    ? [
        `S3   ${s3Endpoint}   bucket ${bucket}, access key ${accessKeyId}, secret key ${secretAccessKey}`,
        `VOD  ${vodEndpoint}`,
        '',
        'Upload a video with any S3 client (path style):',
        `  AWS_ACCESS_KEY_ID=${accessKeyId} AWS_SECRET_ACCESS_KEY=${secretAccessKey} AWS_REGION=us-east-1 \\`,
        `    aws --endpoint-url ${s3Endpoint} s3 cp clip.mp4 s3://${bucket}/`,
      ]
    : [
        `S3   ${s3Endpoint || 'AWS'}`,
        `VOD  ${vodEndpoint}`,
        '',
        'Events from this S3 are not delivered here. Start an object with:',
        `  npm run invoke -- s3://${bucket}/clip.mp4 --local`,
      ]),
  '',
  'Ctrl-C stops. Unfinished work continues at the next start.',
];
