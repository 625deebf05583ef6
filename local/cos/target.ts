import { S3Error } from '../s3/wire/errors.ts';
import { readTarget, type Target } from '../s3/wire/target.ts';
import type { CosAccount } from './account.ts';

const MAX_KEY_BYTES = 850;

/** `<bucket>.cos.<region>.myqcloud.com`, perhaps with a port. */
const VIRTUAL_HOST = /^([a-z0-9-]+)\.cos\.([a-z0-9-]+)\.myqcloud\.com(?::\d+)?$/;

export type CosRequestTarget = Target & Readonly<{ region: string | undefined }>;

/**
 * Reads the target of a request. The bucket is in the virtual host. Any other host, such as the address of this service,
 * means the only bucket. The bucket is never in the path: COS rejects this for buckets made since 2024.
 * @throws {S3Error}
 */
export function readCosTarget(url: string, host: string, account: CosAccount): CosRequestTarget {
  const target = readTarget(url);
  const [, bucket = account.bucket, region] = VIRTUAL_HOST.exec(host) ?? [];
  const key = target.path.slice(1);
  if (bucket !== account.bucket || (region !== undefined && !account.regions.includes(region))) {
    throw new S3Error('NoSuchBucket', { details: { BucketName: bucket } });
  }
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new S3Error('KeyTooLong');
  return { ...target, bucket, key, region };
}
