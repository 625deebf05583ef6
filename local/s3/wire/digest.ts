import { createHash, type Hash } from 'node:crypto';
import { crc32, crc32c, crc64nvme } from './crc.ts';
import { S3Error } from './errors.ts';

export type Digest = Readonly<{ update: (bytes: Buffer) => void; digest: () => Buffer }>;

export const ALGORITHMS = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const CHECKSUM_TYPES = ['FULL_OBJECT', 'COMPOSITE'] as const;
export type ChecksumType = (typeof CHECKSUM_TYPES)[number];

/** `value` is base64, followed by `-parts` where the type is COMPOSITE. */
export type Checksum = Readonly<{ algorithm: Algorithm; type: ChecksumType; value: string }>;

const LENGTHS: Readonly<Record<Algorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  SHA1: 20,
  SHA256: 32,
};

export function startDigest(algorithm: Algorithm): Digest {
  switch (algorithm) {
    case 'CRC32':
      return crc32();
    case 'CRC32C':
      return crc32c();
    case 'CRC64NVME':
      return crc64nvme();
    case 'SHA1':
      return fromHash(createHash('sha1'));
    case 'SHA256':
      return fromHash(createHash('sha256'));
  }
}

export const startMd5 = (): Digest => fromHash(createHash('md5'));
export const startSha256 = (): Digest => fromHash(createHash('sha256'));

const fromHash = (hash: Hash): Digest => ({
  update: (bytes) => {
    hash.update(bytes);
  },
  digest: () => hash.digest(),
});

/** The header, trailer and form field a checksum travels in. */
export const checksumHeader = (algorithm: Algorithm): string => `x-amz-checksum-${algorithm.toLowerCase()}`;

/** The XML element: `ChecksumSHA1`. */
export const checksumElement = (algorithm: Algorithm): `Checksum${Algorithm}` => `Checksum${algorithm}`;

export function readAlgorithm(text: string): Algorithm {
  const known = ALGORITHMS.find((algorithm) => algorithm === text.toUpperCase());
  if (known === undefined) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${ALGORITHMS.join(', ')}]`,
    );
  }
  return known;
}

/** Is it base64 of as many bytes as the algorithm gives? */
export function checkChecksumForm(algorithm: Algorithm, value: string): void {
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== LENGTHS[algorithm] || bytes.toString('base64') !== value) {
    throw new S3Error('InvalidRequest', `Value for ${checksumHeader(algorithm)} header is invalid.`);
  }
}

/** The checksum of an upload from those of its parts: the digest of the digests, then how many they are. */
export function compositeChecksum(algorithm: Algorithm, parts: readonly string[]): Checksum {
  const digest = startDigest(algorithm);
  for (const part of parts) digest.update(Buffer.from(part, 'base64'));
  return { algorithm, type: 'COMPOSITE', value: `${digest.digest().toString('base64')}-${parts.length}` };
}

/** The ETag of a multipart object: the MD5 of its parts' MD5s, then how many they are. */
export function multipartETag(md5s: readonly string[]): string {
  const md5 = startMd5();
  for (const part of md5s) md5.update(Buffer.from(part, 'hex'));
  return `${md5.digest().toString('hex')}-${md5s.length}`;
}
