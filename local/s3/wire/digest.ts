import { createHash } from 'node:crypto';
import { createCRC32, createCRC64, type IHasher } from 'hash-wasm';
import { S3Error } from './errors.ts';

export const ALGORITHMS = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const CHECKSUM_TYPES = ['FULL_OBJECT', 'COMPOSITE'] as const;
export type ChecksumType = (typeof CHECKSUM_TYPES)[number];

/** `value` is base64, followed by `-parts` when the type is COMPOSITE. */
export type Checksum = Readonly<{ algorithm: Algorithm; type: ChecksumType; value: string }>;

/** A running digest. A `Hash` of `node:crypto` is one too. */
export type Digest = Readonly<{ update: (bytes: Buffer) => unknown; digest: () => Buffer }>;

const fromHasher = (hasher: IHasher): Digest => ({
  update: (bytes) => hasher.update(bytes),
  digest: () => Buffer.from(hasher.digest('binary')),
});

const DIGESTS: Readonly<Record<Algorithm, { bytes: number; start: () => Digest | Promise<Digest> }>> = {
  CRC32: { bytes: 4, start: async () => fromHasher(await createCRC32()) },
  CRC32C: { bytes: 4, start: async () => fromHasher(await createCRC32(0x82f63b78)) },
  CRC64NVME: { bytes: 8, start: async () => fromHasher(await createCRC64('9a6c9329ac4bc9b5')) },
  SHA1: { bytes: 20, start: () => createHash('sha1') },
  SHA256: { bytes: 32, start: () => createHash('sha256') },
};

export const startDigest = async (algorithm: Algorithm): Promise<Digest> => DIGESTS[algorithm].start();
export const startMd5 = (): Digest => createHash('md5');

/** Returns the MD5 of all bytes in hex and, with `algorithm`, their checksum in base64. */
export async function digestBytes(
  bytes: AsyncIterable<Buffer>,
  algorithm: Algorithm | undefined,
): Promise<Readonly<{ md5: string; checksum?: Readonly<{ algorithm: Algorithm; value: string }> }>> {
  const md5 = startMd5();
  const digest = algorithm && (await startDigest(algorithm));
  for await (const chunk of bytes) {
    md5.update(chunk);
    digest?.update(chunk);
  }
  return {
    md5: md5.digest().toString('hex'),
    ...(algorithm && digest && { checksum: { algorithm, value: digest.digest().toString('base64') } }),
  };
}

/** The name of the header, trailer, and form field that carries a checksum. */
export const checksumHeader = (algorithm: Algorithm): string => `x-amz-checksum-${algorithm.toLowerCase()}`;

/** The XML element: `ChecksumSHA1`. */
export const checksumElement = (algorithm: Algorithm): `Checksum${Algorithm}` => `Checksum${algorithm}`;

/** @throws {S3Error} `InvalidRequest` when S3 does not support the algorithm */
export function readAlgorithm(text: string): Algorithm {
  const known = ALGORITHMS.find((algorithm) => algorithm === text.toUpperCase());
  if (known) return known;
  throw new S3Error(
    'InvalidRequest',
    `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${ALGORITHMS.join(', ')}]`,
  );
}

/** @throws {S3Error} `InvalidRequest` unless `value` is base64 of the digest length of `algorithm` */
export function checkChecksumForm(algorithm: Algorithm, value: string): void {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== DIGESTS[algorithm].bytes || bytes.toString('base64') !== value) {
    throw new S3Error('InvalidRequest', `Value for ${checksumHeader(algorithm)} header is invalid.`);
  }
}

/** The checksum of an upload, from the base64 checksums of its parts: the digest of the digests, then the part count. */
export async function compositeChecksum(algorithm: Algorithm, parts: readonly string[]): Promise<Checksum> {
  const digest = await startDigest(algorithm);
  for (const part of parts) digest.update(Buffer.from(part, 'base64'));
  return { algorithm, type: 'COMPOSITE', value: `${digest.digest().toString('base64')}-${parts.length}` };
}

/** The ETag of a multipart object: the MD5 of the MD5s of its parts (hex), then the part count. */
export function multipartETag(md5s: readonly string[]): string {
  const md5 = createHash('md5').update(Buffer.from(md5s.join(''), 'hex'));
  return `${md5.digest('hex')}-${md5s.length}`;
}
