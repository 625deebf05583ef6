import { createHash } from 'node:crypto';
import { decodeChunked } from './chunked.ts';
import {
  ALGORITHMS,
  type Algorithm,
  checkChecksumForm,
  checksumHeader,
  type Digest,
  readAlgorithm,
  startDigest,
  startMd5,
} from './digest.ts';
import { S3Error } from './errors.ts';
import type { RequestHeaders } from './headers.ts';

/** The measured properties of a body. `md5` is hex, the checksum base64. */
export type BodyFacts = Readonly<{
  size: number;
  md5: string;
  checksum?: Readonly<{ algorithm: Algorithm; value: string }>;
}>;

/** A request body. `facts` is available after `bytes` was read to its end without an error. */
export type Body = Readonly<{ bytes: AsyncIterable<Buffer>; facts: () => BodyFacts }>;

/** The largest body of one request, in bytes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MAX_BODY_BYTES = 5 * 1024 ** 3;

/** The allowed length of a body whose headers do not state it, in bytes. */
export type SizeLimits = Readonly<{ min: number; max: number }>;

type BodyOptions = Readonly<{
  /** A checksum to compute even if the client sends none. */
  compute?: Algorithm | undefined;
  limits?: SizeLimits;
}>;

/**
 * Reads a request body as its headers declare it. Iterating `bytes` yields the bytes of the object. The iteration fails
 * with an S3Error if the length, SHA-256, MD5, or checksum differs from the declared one.
 */
export function openBody(
  source: AsyncIterable<Buffer>,
  headers: RequestHeaders,
  payload: string,
  { compute, limits }: BodyOptions = {},
): Body {
  const chunked = payload.startsWith('STREAMING-');
  const checkSize = limits ? sizeWithin(limits) : sizeEquals(readLength(headers, chunked));
  const declared = readDeclaredChecksum(headers);
  const algorithm = declared?.algorithm ?? compute;
  const md5 = readContentMd5(headers);
  const sha256 = readPayloadSha256(payload);

  const trailers = new Map<string, string>();
  let facts: BodyFacts | undefined;

  async function* readVerified(): AsyncGenerator<Buffer> {
    const digests = {
      md5: startMd5(),
      sha256: sha256 === undefined ? undefined : createHash('sha256'),
      checksum: algorithm && (await startDigest(algorithm)),
    };
    const running = Object.values(digests).filter((digest) => digest !== undefined);
    let size = 0;
    for await (const chunk of chunked ? decodeChunked(source, trailers) : source) {
      size += chunk.length;
      checkSize(size, 'so far');
      for (const digest of running) digest.update(chunk);
      yield chunk;
    }
    checkSize(size, 'in all');
    const found = digests.md5.digest().toString('hex');
    if (md5 !== undefined && md5 !== found) {
      throw new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.');
    }
    if (digests.sha256 && digests.sha256.digest().toString('hex') !== sha256) {
      throw new S3Error('XAmzContentSHA256Mismatch');
    }
    const checksum =
      algorithm && digests.checksum && verifyChecksum(algorithm, digests.checksum, declared, trailers);
    facts = { size, md5: found, ...(checksum && { checksum }) };
  }

  return {
    bytes: readVerified(),
    facts: () => {
      if (!facts) throw new Error('The body was not read to its end.');
      return facts;
    },
  };
}

type CheckSize = (size: number, when: 'so far' | 'in all') => void;

const sizeEquals =
  (length: number): CheckSize =>
  (size, when) => {
    if (size > length || (when === 'in all' && size < length)) {
      throw new S3Error('IncompleteBody', `The body should have ${length} bytes, got ${size} ${when}.`);
    }
  };

const sizeWithin =
  ({ min, max }: SizeLimits): CheckSize =>
  (size, when) => {
    if (size > max)
      throw new S3Error('EntityTooLarge', { details: { ProposedSize: size, MaxSizeAllowed: max } });
    if (when === 'in all' && size < min)
      throw new S3Error('EntityTooSmall', { details: { ProposedSize: size, MinSizeAllowed: min } });
  };

function verifyChecksum(
  algorithm: Algorithm,
  digest: Digest,
  declared: Declared | undefined,
  trailers: ReadonlyMap<string, string>,
): { algorithm: Algorithm; value: string } {
  const value = digest.digest().toString('base64');
  const name = checksumHeader(algorithm);
  const sent = declared?.value ?? trailers.get(name);
  if (declared?.value === undefined && declared?.trailer && sent === undefined) {
    throw new S3Error('InvalidRequest', `The request announced the trailer ${name} but did not send it.`);
  }
  if (sent !== undefined) {
    checkChecksumForm(algorithm, sent);
    if (sent !== value) {
      throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
    }
  }
  return { algorithm, value };
}

function readLength(headers: RequestHeaders, chunked: boolean): number {
  const text = headers[chunked ? 'x-amz-decoded-content-length' : 'content-length'];
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw new S3Error('MissingContentLength');
  const length = Number(text);
  if (length > MAX_BODY_BYTES) {
    const details = { ProposedSize: length, MaxSizeAllowed: MAX_BODY_BYTES };
    throw new S3Error('EntityTooLarge', { details });
  }
  return length;
}

type Declared = Readonly<{ algorithm: Algorithm; value?: string; trailer?: boolean }>;

/** The checksum that a header carries or announces for the trailer. At most one is allowed. */
function readDeclaredChecksum(headers: RequestHeaders): Declared | undefined {
  const sent = ALGORITHMS.flatMap((algorithm): Declared[] => {
    const name = checksumHeader(algorithm);
    const value = headers[name];
    if (value !== undefined) {
      checkChecksumForm(algorithm, value);
      return [{ algorithm, value }];
    }
    return headers['x-amz-trailer']
      ?.toLowerCase()
      .split(/\s*,\s*/)
      .includes(name)
      ? [{ algorithm, trailer: true }]
      : [];
  });
  if (sent.length > 1) {
    throw new S3Error(
      'InvalidRequest',
      'Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.',
    );
  }
  const announced = headers['x-amz-sdk-checksum-algorithm'];
  if (announced !== undefined && sent[0] && readAlgorithm(announced) !== sent[0].algorithm) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-sdk-checksum-algorithm header is invalid.');
  }
  return sent[0];
}

function readContentMd5(headers: RequestHeaders): string | undefined {
  const text = headers['content-md5'];
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== 16) throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.');
  return bytes.toString('hex');
}

function readPayloadSha256(payload: string): string | undefined {
  if (payload === 'UNSIGNED-PAYLOAD' || STREAMING.has(payload)) return undefined;
  if (/^[0-9a-f]{64}$/.test(payload)) return payload;
  throw new S3Error(
    'InvalidArgument',
    'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- value, or a valid sha256 value.',
  );
}

const STREAMING = new Set([
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
]);
