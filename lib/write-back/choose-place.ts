import type { S3Client } from '@aws-sdk/client-s3';
import type { WriteBackSettings } from '../config.ts';
import { readBucketFacts } from '../s3/bucket-facts.ts';
import type { ObjectHead } from '../s3/head-object.ts';
import type { Marker } from './marker.ts';
import { checkBucket, objectCost } from './rewrite-costs.ts';

/** The place of a marker. `reason`: why `auto` chose it. */
export type Choice = Readonly<{ place: Marker['place']; reason?: string }>;

/**
 * Chooses the place of the marker. `auto` chooses the metadata, unless a rewrite of the object costs something or the bucket's
 * configuration cannot be read.
 * @throws the reason of the signal
 */
export async function choosePlace(
  s3: S3Client,
  head: ObjectHead,
  { mode, maxCopyBytes }: WriteBackSettings,
  signal: AbortSignal,
): Promise<Choice> {
  if (mode !== 'auto') return { place: mode };
  const cost = objectCost(head, maxCopyBytes);
  const costs = cost === undefined ? await bucketCosts(s3, head.pin.bucket, signal) : [cost];
  return costs.length === 0
    ? { place: 'metadata', reason: 'auto chose metadata: a copy of the object costs nothing here' }
    : { place: 'annotation', reason: `auto chose an annotation: ${costs.join('; ')}` };
}

/** A bucket's configuration rarely changes. */
const CACHE_MS = 5 * 60_000;

type Cached = Readonly<{ readAt: number; costs: readonly string[] }>;
const cache = new WeakMap<S3Client, Map<string, Cached>>();

/** Reads the bucket's configuration once in five minutes. A configuration that cannot be read counts as a cost. */
async function bucketCosts(s3: S3Client, bucket: string, signal: AbortSignal): Promise<readonly string[]> {
  const buckets = cache.get(s3) ?? new Map<string, Cached>();
  cache.set(s3, buckets);
  const cached = buckets.get(bucket);
  if (cached && Date.now() - cached.readAt < CACHE_MS) return cached.costs;
  const checks = checkBucket(await readBucketFacts(s3, bucket, signal));
  const costs = checks.flatMap(({ check, status, message }) => {
    if (status === 'free') return [];
    return [status === 'unknown' ? `the configuration of ${check} is unknown (${message})` : message];
  });
  buckets.set(bucket, { readAt: Date.now(), costs });
  return costs;
}
