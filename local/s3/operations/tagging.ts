import * as v from 'valibot';
import { receiveText, type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import { checkTags, type Tag } from '../wire/attributes.ts';
import { readXml } from '../wire/xml.ts';
import { findObject } from './get.ts';
import { versionHeader } from './put.ts';

const taggingSchema = v.strictObject({
  // The parser returns an element without children as text.
  TagSet: v.union([
    v.strictObject({ Tag: v.optional(v.array(v.strictObject({ Key: v.string(), Value: v.string() })), []) }),
    v.pipe(v.string(), v.trim(), v.literal('')),
  ]),
});

/** Reads a `Tagging` document. @throws {S3Error} `MalformedXML` or `InvalidTag` */
export function readTagSet(xml: string): Tag[] {
  const { TagSet } = readXml(xml, 'Tagging', taggingSchema);
  const tags = TagSet === '' ? [] : TagSet.Tag;
  return [...checkTags(tags.map(({ Key, Value }) => ({ key: Key, value: Value })))];
}

export function getTagging(request: S3Request): S3Response {
  const { bucket, object } = findObject(request);
  const tags = object.tags.map(({ key, value }) => ({ Key: key, Value: value }));
  return xmlResponse('Tagging', { TagSet: { Tag: tags } }, versionHeader(bucket, object));
}

export async function putTagging(request: S3Request): Promise<S3Response> {
  const tags = readTagSet(await receiveText(request));
  return { status: 200, headers: updateTags(request, tags) };
}

export const deleteTagging = (request: S3Request): S3Response => ({
  status: 204,
  headers: updateTags(request, []),
});

function updateTags(request: S3Request, tags: Tag[]): NonNullable<S3Response['headers']> {
  const { bucket, object } = findObject(request);
  bucket.updateInPlace(request.target.key, object.versionId, { tags });
  return versionHeader(bucket, object);
}
