import * as v from 'valibot';
import { receiveText, type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import { takeFirst } from '../store/entries.ts';
import { VERSIONING } from '../store/record.ts';
import { S3Error, type S3ErrorCode } from '../wire/errors.ts';
import { OWNER_XML } from '../wire/grants.ts';
import { queryCount, queryValue } from '../wire/target.ts';
import { readXml } from '../wire/xml.ts';
import { readToken, writeToken } from './listing.ts';

const DEFAULT_REGION = 'us-east-1';

const MAX_BUCKETS = 10_000;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html */
export function listBuckets({ store, target: { query } }: S3Request): S3Response {
  const prefix = queryValue(query, 'prefix');
  const region = queryValue(query, 'bucket-region');
  const token = queryValue(query, 'continuation-token');
  const after = token ? readToken(token) : '';
  const matching = store
    .listBuckets()
    .map(({ record }) => record)
    .filter(({ name }) => name > after && name.startsWith(prefix ?? ''))
    .filter((record) => region === undefined || record.region === region);
  const { items, hasMore } = takeFirst(matching, queryCount(query, 'max-buckets', MAX_BUCKETS));
  const last = hasMore ? items.at(-1) : undefined;
  const buckets = items.map((record) => ({
    Name: record.name,
    CreationDate: new Date(record.created).toISOString(),
    BucketRegion: record.region,
  }));
  return xmlResponse('ListAllMyBucketsResult', {
    Owner: OWNER_XML,
    Buckets: { Bucket: buckets },
    ContinuationToken: last && writeToken(last.name),
    Prefix: prefix,
  });
}

const configurationSchema = v.union([
  v.strictObject({ LocationConstraint: v.optional(v.string()) }),
  v.literal(''),
]);

export async function createBucket(request: S3Request): Promise<S3Response> {
  const { target, store, headers } = request;
  if ((headers['x-amz-acl'] ?? 'private') !== 'private') {
    throw new S3Error('NotImplemented', 'A bucket with another ACL than private is not supported');
  }
  const text = await receiveText(request);
  const configuration = text === '' ? '' : readXml(text, 'CreateBucketConfiguration', configurationSchema);
  const region = (configuration !== '' && configuration.LocationConstraint) || DEFAULT_REGION;
  // Object locks require versions, so S3 enables versioning. This server stores locks but does not enforce them.
  const hasLocks = headers['x-amz-bucket-object-lock-enabled']?.toLowerCase() === 'true';
  store.createBucket(target.bucket, region, hasLocks ? 'Enabled' : undefined);
  return { status: 200, headers: { location: `/${target.bucket}` } };
}

export function headBucket({ store, target }: S3Request): S3Response {
  const { record } = store.getBucket(target.bucket);
  return { status: 200, headers: { 'x-amz-bucket-region': record.region } };
}

export function deleteBucket({ store, target }: S3Request): S3Response {
  store.deleteBucket(target.bucket);
  return { status: 204 };
}

export function getLocation({ store, target }: S3Request): S3Response {
  const { region } = store.getBucket(target.bucket).record;
  // S3 returns an empty element for its first region.
  return xmlResponse('LocationConstraint', { '#text': region === DEFAULT_REGION ? '' : region });
}

export function getVersioning({ store, target }: S3Request): S3Response {
  return xmlResponse('VersioningConfiguration', { Status: store.getBucket(target.bucket).record.versioning });
}

const versioningSchema = v.strictObject({
  Status: v.optional(v.picklist(VERSIONING)),
  MfaDelete: v.optional(v.string()),
});

export async function putVersioning(request: S3Request): Promise<S3Response> {
  const bucket = request.store.getBucket(request.target.bucket);
  const { Status, MfaDelete } = readXml(
    await receiveText(request),
    'VersioningConfiguration',
    versioningSchema,
  );
  if (MfaDelete === 'Enabled') throw new S3Error('NotImplemented', 'MFA delete is not supported');
  if (!Status) throw new S3Error('IllegalVersioningConfigurationException');
  bucket.update({ ...bucket.record, versioning: Status });
  return { status: 200 };
}

/** This server sends an event for every created object, like a bucket that sends its events to EventBridge. */
export function getNotification({ store, target }: S3Request): S3Response {
  store.getBucket(target.bucket);
  return xmlResponse('NotificationConfiguration', { EventBridgeConfiguration: '' });
}

/** S3 encrypts every object, by default with its own keys. */
export function getEncryption({ store, target }: S3Request): S3Response {
  store.getBucket(target.bucket);
  const Rule = { ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } };
  return xmlResponse('ServerSideEncryptionConfiguration', { Rule });
}

/** Returns the operation that reads a configuration which no bucket here has. */
export const getMissingConfiguration =
  (code: S3ErrorCode) =>
  ({ store, target }: S3Request): never => {
    store.getBucket(target.bucket);
    throw new S3Error(code);
  };
