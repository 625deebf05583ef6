import * as v from 'valibot';
import { type Call, type Reply, receiveText } from '../call.ts';
import { VERSIONING } from '../store/record.ts';
import { S3Error } from '../wire/errors.ts';
import { OWNER } from '../wire/grants.ts';
import { document, NAMESPACE, readXml } from '../wire/xml.ts';

const DEFAULT_REGION = 'us-east-1';

export function listBuckets({ store }: Call): Reply {
  const buckets = store.buckets().map(({ record }) => ({
    Name: record.name,
    CreationDate: new Date(record.created).toISOString(),
    BucketRegion: record.region,
  }));
  const content = {
    '@xmlns': NAMESPACE,
    Owner: { ID: OWNER.id, DisplayName: OWNER.name },
    Buckets: { Bucket: buckets },
  };
  return { status: 200, xml: document('ListAllMyBucketsResult', content) };
}

const configuration = v.union([v.object({ LocationConstraint: v.optional(v.string()) }), v.literal('')]);

export async function createBucket(call: Call): Promise<Reply> {
  const { target, store, headers } = call;
  const text = await receiveText(call);
  const stated = text === '' ? '' : readXml(text, 'CreateBucketConfiguration', configuration);
  const region = (stated !== '' && stated.LocationConstraint) || DEFAULT_REGION;
  // Locks need versions, so S3 switches them on by itself; the locks are recorded on objects, and not enforced here.
  const locks = headers['x-amz-bucket-object-lock-enabled']?.toLowerCase() === 'true';
  store.createBucket(target.bucket, region, locks ? 'Enabled' : undefined);
  return { status: 200, headers: { location: `/${target.bucket}` } };
}

export function headBucket({ store, target }: Call): Reply {
  const { record } = store.bucket(target.bucket);
  return { status: 200, headers: { 'x-amz-bucket-region': record.region } };
}

export function deleteBucket({ store, target }: Call): Reply {
  store.deleteBucket(target.bucket);
  return { status: 204 };
}

export function getLocation({ store, target }: Call): Reply {
  const { region } = store.bucket(target.bucket).record;
  // The first region has no constraint: the element is empty.
  const constraint = region === DEFAULT_REGION ? '' : region;
  return { status: 200, xml: document('LocationConstraint', { '@xmlns': NAMESPACE, '#text': constraint }) };
}

export function getVersioning({ store, target }: Call): Reply {
  const { versioning } = store.bucket(target.bucket).record;
  return {
    status: 200,
    xml: document('VersioningConfiguration', { '@xmlns': NAMESPACE, Status: versioning }),
  };
}

const versioningConfiguration = v.object({
  Status: v.optional(v.picklist(VERSIONING)),
  MfaDelete: v.optional(v.string()),
});

export async function putVersioning(call: Call): Promise<Reply> {
  const bucket = call.store.bucket(call.target.bucket);
  const stated = readXml(await receiveText(call), 'VersioningConfiguration', versioningConfiguration);
  if (stated.MfaDelete === 'Enabled') throw new S3Error('NotImplemented', 'MFA delete is not supported');
  if (!stated.Status) throw new S3Error('IllegalVersioningConfigurationException');
  bucket.update({ ...bucket.record, versioning: stated.Status });
  return { status: 200 };
}
