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
  startSha256,
} from './digest.ts';
import { S3Error } from './errors.ts';

type Headers = Readonly<Record<string, string | undefined>>;

export type BodyFacts = Readonly<{
  size: number;
  md5: string;
  checksum?: Readonly<{ algorithm: Algorithm; value: string }>;
}>;

/** A body on its way in. `facts` may be asked once `bytes` has been read to its end without an error. */
export type Body = Readonly<{ bytes: AsyncIterable<Buffer>; facts: () => BodyFacts }>;

/** The largest body of one request: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MAX_BODY = 5 * 1024 ** 3;

/** How long a body may be where its headers do not say it. */
export type Bounds = Readonly<{ least: number; most: number }>;

type Options = Readonly<{
  /** A checksum that is wanted whether the client sends one or not. */
  compute?: Algorithm | undefined;
  bounds?: Bounds;
}>;

/**
 * Reads a request's body as its headers declare it. Whoever iterates `bytes` gets the object's own bytes, and at
 * their end an error instead of a plain end where anything is not as declared: length, SHA-256, MD5, checksum.
 */
export function openBody(
  source: AsyncIterable<Buffer>,
  headers: Headers,
  payload: string,
  { compute, bounds }: Options = {},
): Body {
  const chunked = payload.startsWith('STREAMING-');
  const check = bounds ? checkBounds(bounds) : checkLength(declaredLength(headers, chunked));
  const declared = declaredChecksum(headers);
  const algorithm = declared?.algorithm ?? compute;
  const md5 = declaredMd5(headers);
  const sha256 = declaredSha256(payload);

  const trailers = new Map<string, string>();
  const digests = {
    md5: startMd5(),
    sha256: sha256 === undefined ? undefined : startSha256(),
    checksum: algorithm && startDigest(algorithm),
  };
  const running = Object.values(digests).filter((digest) => digest !== undefined);
  let facts: BodyFacts | undefined;

  async function* verified(): AsyncGenerator<Buffer> {
    let size = 0;
    for await (const chunk of chunked ? decodeChunked(source, trailers) : source) {
      size += chunk.length;
      check(size, 'so far');
      for (const digest of running) digest.update(chunk);
      yield chunk;
    }
    check(size, 'in all');
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
    bytes: verified(),
    facts: () => {
      if (!facts) throw new Error('the body was not read to its end');
      return facts;
    },
  };
}

type CheckSize = (size: number, when: 'so far' | 'in all') => void;

const checkLength =
  (length: number): CheckSize =>
  (size, when) => {
    if (size > length || (when === 'in all' && size < length)) {
      throw new S3Error('IncompleteBody', `The body should have ${length} bytes, got ${size} ${when}.`);
    }
  };

const checkBounds =
  ({ least, most }: Bounds): CheckSize =>
  (size, when) => {
    const details = { ProposedSize: size };
    if (size > most)
      throw new S3Error('EntityTooLarge', undefined, { details: { ...details, MaxSizeAllowed: most } });
    if (when === 'in all' && size < least) {
      throw new S3Error('EntityTooSmall', undefined, { details: { ...details, MinSizeAllowed: least } });
    }
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
    throw new S3Error('InvalidRequest', `The trailer ${name} was announced and did not come.`);
  }
  if (sent !== undefined) {
    checkChecksumForm(algorithm, sent);
    if (sent !== value) {
      throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
    }
  }
  return { algorithm, value };
}

function declaredLength(headers: Headers, chunked: boolean): number {
  const text = headers[chunked ? 'x-amz-decoded-content-length' : 'content-length'];
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw new S3Error('MissingContentLength');
  const length = Number(text);
  if (length > MAX_BODY) {
    throw new S3Error('EntityTooLarge', undefined, {
      details: { ProposedSize: length, MaxSizeAllowed: MAX_BODY },
    });
  }
  return length;
}

type Declared = Readonly<{ algorithm: Algorithm; value?: string; trailer?: boolean }>;

/** The checksum that comes in a header or is announced for the trailer; only one may. */
function declaredChecksum(headers: Headers): Declared | undefined {
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

function declaredMd5(headers: Headers): string | undefined {
  const text = headers['content-md5'];
  if (text === undefined) return undefined;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== 16) throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.');
  return bytes.toString('hex');
}

function declaredSha256(payload: string): string | undefined {
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
