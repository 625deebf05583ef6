import type { IncomingMessage } from 'node:http';
import { deleteObject } from '../s3/operations/delete.ts';
import { abortUpload } from '../s3/operations/multipart.ts';
import { listParts, listUploads } from '../s3/operations/multipart-listing.ts';
import { S3Error } from '../s3/wire/errors.ts';
import type { RequestHeaders } from '../s3/wire/headers.ts';
import type { Query } from '../s3/wire/target.ts';
import {
  type CosOperation,
  completeUpload,
  createUpload,
  putObject,
  readObject,
  uploadPart,
} from './operations.ts';

const names = (list: string): ReadonlySet<string> => new Set(list.split(' ').filter(Boolean));

type Route = Readonly<{
  name: string;
  run: CosOperation;
  /** The query parameters and the `x-cos-` headers that the operation implements. */
  query: ReadonlySet<string>;
  headers: ReadonlySet<string>;
}>;

const route = (name: string, run: CosOperation, query = '', headers = ''): Route => ({
  name,
  run,
  query: names(query),
  headers: names(headers),
});

/** The operations by method, target, and subresource. Every other request returns 501. */
export const COS_ROUTES: Readonly<Record<string, Route>> = {
  'PUT object': route('PutObject', putObject, '', 'x-cos-forbid-overwrite'),
  'GET object': route('GetObject', readObject),
  'HEAD object': route('HeadObject', readObject),
  'DELETE object': route('DeleteObject', deleteObject),
  'POST object ?uploads': route('CreateMultipartUpload', createUpload, 'uploads'),
  'PUT object ?uploadId': route('UploadPart', uploadPart, 'uploadId partNumber'),
  'GET object ?uploadId': route(
    'ListParts',
    listParts,
    'uploadId max-parts part-number-marker encoding-type',
  ),
  'POST object ?uploadId': route(
    'CompleteMultipartUpload',
    completeUpload,
    'uploadId',
    'x-cos-forbid-overwrite',
  ),
  'DELETE object ?uploadId': route('AbortMultipartUpload', abortUpload, 'uploadId'),
  'GET bucket ?uploads': route(
    'ListMultipartUploads',
    listUploads,
    'uploads prefix delimiter encoding-type max-uploads key-marker upload-id-marker',
  ),
};

/** Headers that any request may have. The vendor's SDK marks retries. */
const COMMON_HEADERS = names('x-cos-security-token x-cos-sdk-retry');

/** @throws {S3Error} `NotImplemented` for everything that this service does not implement */
export function findRoute(method: string, key: string, query: Query, headers: RequestHeaders): Route {
  const found = matchRoute(method, key, query);
  if (!found) throw notImplemented(`${method} ?${query.map(([name]) => name).join('&')}`);
  const parameter = query.find(([name]) => !found.query.has(name));
  if (parameter) throw notImplemented(`The parameter ${parameter[0]} of ${found.name}`);
  for (const name of Object.keys(headers)) {
    if (COMMON_HEADERS.has(name) || found.headers.has(name)) continue;
    // COS ignores the checksums of S3.
    if (name.startsWith('x-cos-') || (name.startsWith('x-amz-') && !name.startsWith('x-amz-checksum-')))
      throw notImplemented(`The header ${name} of ${found.name}`);
  }
  if (headers['content-encoding']?.includes('aws-chunked') || headers['x-amz-trailer'] !== undefined)
    throw notImplemented('The encoding aws-chunked');
  return found;
}

const notImplemented = (feature: string): S3Error =>
  new S3Error('NotImplemented', `${feature} is not supported by this local COS`);

function matchRoute(method: string, key: string, query: Query): Route | undefined {
  const subresource = ['uploads', 'uploadId'].find((name) => query.some(([candidate]) => candidate === name));
  return COS_ROUTES[`${method} ${key ? 'object' : 'bucket'}${subresource ? ` ?${subresource}` : ''}`];
}

/** Returns the name of the operation of a request before it is verified, or an empty string. */
export function findCosOperation({ method = '', url = '' }: IncomingMessage): string {
  const [path = '', query = ''] = url.split('?');
  const pairs = query.split('&').map((pair) => [pair.split('=', 1)[0] ?? '', ''] as const);
  return matchRoute(method, path.slice(1), pairs)?.name ?? '';
}
