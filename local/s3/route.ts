import type { IncomingMessage } from 'node:http';
import type { Call, Operation } from './call.ts';
import { getAcl, putAcl } from './operations/acl.ts';
import {
  createBucket,
  deleteBucket,
  getLocation,
  getVersioning,
  headBucket,
  listBuckets,
  putVersioning,
} from './operations/buckets.ts';
import { completeUpload } from './operations/complete.ts';
import { copyObject } from './operations/copy.ts';
import { deleteObject, deleteObjects } from './operations/delete.ts';
import { postObject } from './operations/form.ts';
import { getObject } from './operations/get.ts';
import { listObjectsV1, listObjectsV2, listVersions } from './operations/listing.ts';
import { abortUpload, createUpload, uploadPart } from './operations/multipart.ts';
import { listParts, listUploads } from './operations/multipart-listing.ts';
import { copyPart } from './operations/part-copy.ts';
import { putObject } from './operations/put.ts';
import { deleteTagging, getTagging, putTagging } from './operations/tagging.ts';
import { S3Error } from './wire/errors.ts';
import { queryValue, readTarget } from './wire/target.ts';

/** By method and subresource; see `subresources` for what is one. */
const SERVICE: Readonly<Record<string, Operation>> = { 'GET ': listBuckets };

const BUCKET: Readonly<Record<string, Operation>> = {
  'PUT ': createBucket,
  'HEAD ': headBucket,
  'DELETE ': deleteBucket,
  'GET ': listObjectsV1,
  'GET list-type': listObjectsV2,
  'GET versions': listVersions,
  'GET uploads': listUploads,
  'GET location': getLocation,
  'GET versioning': getVersioning,
  'PUT versioning': putVersioning,
  'POST delete': deleteObjects,
};

const OBJECT: Readonly<Record<string, Operation>> = {
  'PUT ': (call) => (isCopy(call) ? copyObject(call) : putObject(call)),
  'GET ': getObject,
  'HEAD ': getObject,
  'DELETE ': deleteObject,
  'GET acl': getAcl,
  'PUT acl': putAcl,
  'GET tagging': getTagging,
  'PUT tagging': putTagging,
  'DELETE tagging': deleteTagging,
  'POST uploads': createUpload,
  'PUT partNumber,uploadId': (call) => (isCopy(call) ? copyPart(call) : uploadPart(call)),
  'GET uploadId': listParts,
  'POST uploadId': completeUpload,
  'DELETE uploadId': abortUpload,
};

/** Query parameters that only refine what is asked for, and those of a signature. All others name a subresource. */
const REFINEMENTS = new Set([
  ...[
    'versionId',
    'prefix',
    'delimiter',
    'max-keys',
    'encoding-type',
    'marker',
    'start-after',
    'fetch-owner',
  ],
  ...[
    'continuation-token',
    'key-marker',
    'version-id-marker',
    'upload-id-marker',
    'max-uploads',
    'max-parts',
  ],
  ...['part-number-marker', 'max-buckets', 'bucket-region', 'x-id'],
]);

const subresources = ({ target: { query } }: Pick<Call, 'target'>): string =>
  query
    .map(([name]) => name)
    .filter((name) => !REFINEMENTS.has(name) && !/^(x-amz-|response-)/i.test(name))
    .sort()
    .join();

const isCopy = ({ headers }: Pick<IncomingMessage, 'headers'> | Pick<Call, 'headers'>): boolean =>
  headers['x-amz-copy-source'] !== undefined;

/** What a request asks for, and whether the request itself is signed: a form carries its signature in its fields. */
export function findOperation(call: Call): Readonly<{ operation: Operation; signed: boolean }> {
  const { method, target, headers } = call;
  const subresource = subresources(call);
  if (
    method === 'POST' &&
    target.bucket &&
    !target.key &&
    headers['content-type']?.startsWith('multipart/form-data')
  ) {
    return { operation: postObject, signed: false };
  }
  const table = target.key ? OBJECT : target.bucket ? BUCKET : SERVICE;
  const operation = table[`${method} ${subresource}`];
  if (operation) return { operation, signed: true };
  return {
    operation: () => {
      const listType = queryValue(target.query, 'list-type');
      if (listType !== undefined) throw new S3Error('InvalidArgument', 'Invalid List Type');
      throw new S3Error('NotImplemented', `${method} ?${subresource} is not something this local S3 knows`);
    },
    signed: true,
  };
}

/** As S3's own documentation calls what is done to objects. */
const API_NAMES: Readonly<Record<string, string>> = {
  'HEAD ': 'HeadObject',
  'GET ': 'GetObject',
  'PUT ': 'PutObject',
  'DELETE ': 'DeleteObject',
  'GET acl': 'GetObjectAcl',
  'GET tagging': 'GetObjectTagging',
  'PUT tagging': 'PutObjectTagging',
  'POST uploads': 'CreateMultipartUpload',
  'PUT partNumber,uploadId': 'UploadPart',
  'POST uploadId': 'CompleteMultipartUpload',
  'DELETE uploadId': 'AbortMultipartUpload',
};

/** What a request is called before it is looked at: the call where it is about objects, else nothing. */
export function apiName(request: IncomingMessage): string {
  try {
    const target = readTarget(request.url ?? '');
    const asked = `${request.method} ${subresources({ target })}`;
    if (!target.key) return target.bucket && asked === 'GET list-type' ? 'ListObjectsV2' : '';
    const name = API_NAMES[asked];
    if (name === 'PutObject' && isCopy(request)) return 'CopyObject';
    return name === 'UploadPart' && isCopy(request) ? 'UploadPartCopy' : (name ?? '');
  } catch {
    return '';
  }
}
