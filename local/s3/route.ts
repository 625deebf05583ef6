import type { IncomingMessage } from 'node:http';
import type { Operation, S3Request } from './operation.ts';
import { getAcl, putAcl } from './operations/acl.ts';
import { deleteAnnotation, getAnnotation, listAnnotations, putAnnotation } from './operations/annotations.ts';
import { getAttributes } from './operations/attributes.ts';
import {
  createBucket,
  deleteBucket,
  getEncryption,
  getLocation,
  getMissingConfiguration,
  getNotification,
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
import {
  type ApiName,
  checkExpectedOwner,
  checkHeaderNames,
  checkQueryNames,
  hoistedHeaders,
  isRefinement,
} from './parameters.ts';
import { S3Error } from './wire/errors.ts';
import { queryValue, readTarget, type Target } from './wire/target.ts';

type Route = readonly [apiName: ApiName, operation: Operation];
/** By method and subresources, separated by a space. `COPY` is a PUT with `x-amz-copy-source`. */
type Routes = Readonly<Record<string, Route>>;

const SERVICE: Routes = { 'GET ': ['ListBuckets', listBuckets] };

const BUCKET: Routes = {
  'PUT ': ['CreateBucket', createBucket],
  'HEAD ': ['HeadBucket', headBucket],
  'DELETE ': ['DeleteBucket', deleteBucket],
  'GET ': ['ListObjects', listObjectsV1],
  'GET list-type': ['ListObjectsV2', listObjectsV2],
  'GET versions': ['ListObjectVersions', listVersions],
  'GET uploads': ['ListMultipartUploads', listUploads],
  'GET location': ['GetBucketLocation', getLocation],
  'GET versioning': ['GetBucketVersioning', getVersioning],
  'PUT versioning': ['PutBucketVersioning', putVersioning],
  'GET notification': ['GetBucketNotificationConfiguration', getNotification],
  'GET encryption': ['GetBucketEncryption', getEncryption],
  'GET lifecycle': [
    'GetBucketLifecycleConfiguration',
    getMissingConfiguration('NoSuchLifecycleConfiguration'),
  ],
  'GET object-lock': [
    'GetObjectLockConfiguration',
    getMissingConfiguration('ObjectLockConfigurationNotFoundError'),
  ],
  'GET replication': [
    'GetBucketReplication',
    getMissingConfiguration('ReplicationConfigurationNotFoundError'),
  ],
  'POST delete': ['DeleteObjects', deleteObjects],
};

const OBJECT: Routes = {
  'PUT ': ['PutObject', putObject],
  'COPY ': ['CopyObject', copyObject],
  'GET ': ['GetObject', getObject],
  'HEAD ': ['HeadObject', getObject],
  'DELETE ': ['DeleteObject', deleteObject],
  'GET attributes': ['GetObjectAttributes', getAttributes],
  'GET acl': ['GetObjectAcl', getAcl],
  'PUT acl': ['PutObjectAcl', putAcl],
  'GET tagging': ['GetObjectTagging', getTagging],
  'PUT tagging': ['PutObjectTagging', putTagging],
  'DELETE tagging': ['DeleteObjectTagging', deleteTagging],
  'GET annotation': ['ListObjectAnnotations', listAnnotations],
  'GET annotation,annotationName': ['GetObjectAnnotation', getAnnotation],
  'PUT annotation,annotationName': ['PutObjectAnnotation', putAnnotation],
  'DELETE annotation,annotationName': ['DeleteObjectAnnotation', deleteAnnotation],
  'POST uploads': ['CreateMultipartUpload', createUpload],
  'PUT uploadId': ['UploadPart', uploadPart],
  'COPY uploadId': ['UploadPartCopy', copyPart],
  'GET uploadId': ['ListParts', listParts],
  'POST uploadId': ['CompleteMultipartUpload', completeUpload],
  'DELETE uploadId': ['AbortMultipartUpload', abortUpload],
};

const listSubresources = ({ query }: Target): string[] =>
  query
    .map(([name]) => name)
    .filter((name) => !isRefinement(name))
    .sort();

type Routable = Pick<IncomingMessage, 'method' | 'headers'> | Pick<S3Request, 'method' | 'headers'>;

function findRoute({ method, headers }: Routable, target: Target): Route | undefined {
  const routes = target.key ? OBJECT : target.bucket ? BUCKET : SERVICE;
  const subresources = listSubresources(target).join();
  const isCopy = method === 'PUT' && headers['x-amz-copy-source'] !== undefined;
  return (isCopy ? routes[`COPY ${subresources}`] : undefined) ?? routes[`${method} ${subresources}`];
}

/** Returns the requested operation. `isSigned` is false for a form, which carries its signature in its fields. */
export function findOperation(received: S3Request): Readonly<{ operation: Operation; isSigned: boolean }> {
  const { method, target, headers } = received;
  const isForm = headers['content-type']?.startsWith('multipart/form-data');
  if (method === 'POST' && target.bucket && !target.key && isForm) {
    return { operation: postObject, isSigned: false };
  }
  const operation: Operation = (request) => {
    const complete = { ...request, headers: { ...hoistedHeaders(target.query), ...request.headers } };
    const [apiName, run] = findRoute(complete, target) ?? rejectUnknown(request);
    checkHeaderNames(apiName, Object.keys(complete.headers));
    checkQueryNames(apiName, target.query, listSubresources(target));
    checkExpectedOwner(complete.headers);
    return run(complete);
  };
  return { operation, isSigned: true };
}

function rejectUnknown({ method, target }: S3Request): never {
  if (queryValue(target.query, 'list-type') !== undefined) {
    throw new S3Error('InvalidArgument', 'Invalid List Type');
  }
  const subresources = listSubresources(target);
  throw new S3Error(
    'NotImplemented',
    `${method} ?${subresources.join('&')} is not supported by this local S3`,
  );
}

/** Returns the S3 API name of a request before it is verified, or an empty string. */
export function findApiName(request: IncomingMessage): string {
  try {
    const [name = ''] = findRoute(request, readTarget(request.url ?? '')) ?? [];
    return name;
  } catch {
    return '';
  }
}
