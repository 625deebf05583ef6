import * as v from 'valibot';
import { type Call, type Reply, receiveText } from '../call.ts';
import type { Bucket } from '../store/bucket.ts';
import type { StoredObject } from '../store/record.ts';
import { checkTags, type Tag } from '../wire/attributes.ts';
import { queryValue } from '../wire/target.ts';
import { document, NAMESPACE, readXml } from '../wire/xml.ts';
import { findObject } from './get.ts';
import { versionHeader } from './put.ts';

export const tagging = v.object({
  // An element without children reads as text.
  TagSet: v.union([
    v.object({ Tag: v.optional(v.array(v.object({ Key: v.string(), Value: v.string() })), []) }),
    v.pipe(v.string(), v.trim(), v.literal('')),
  ]),
});

export const tagsOf = ({ TagSet }: v.InferOutput<typeof tagging>): Tag[] =>
  TagSet === '' ? [] : TagSet.Tag.map(({ Key, Value }) => ({ key: Key, value: Value }));

export function getTagging(call: Call): Reply {
  const { bucket, object } = find(call);
  const tags = object.tags.map(({ key, value }) => ({ Key: key, Value: value }));
  const content = { '@xmlns': NAMESPACE, TagSet: { Tag: tags } };
  return { status: 200, headers: versionHeader(bucket, object), xml: document('Tagging', content) };
}

export async function putTagging(call: Call): Promise<Reply> {
  const tags = [...checkTags(tagsOf(readXml(await receiveText(call), 'Tagging', tagging)))];
  const { bucket, object } = find(call);
  bucket.updateInPlace(call.target.key, object.versionId, { tags });
  return { status: 200, headers: versionHeader(bucket, object) };
}

export function deleteTagging(call: Call): Reply {
  const { bucket, object } = find(call);
  bucket.updateInPlace(call.target.key, object.versionId, { tags: [] });
  return { status: 204, headers: versionHeader(bucket, object) };
}

function find({ store, target }: Call): { bucket: Bucket; object: StoredObject } {
  const bucket = store.bucket(target.bucket);
  return { bucket, object: findObject(bucket, target.key, queryValue(target.query, 'versionId')) };
}
