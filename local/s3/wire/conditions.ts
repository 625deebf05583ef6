import { S3Error } from './errors.ts';
import type { RequestHeaders } from './headers.ts';

/** The state of an object that conditions compare with. `modified`: ms, in whole seconds as in `Last-Modified`. */
type ObjectState = Readonly<{ etag: string; modified: number }>;

/**
 * Evaluates the conditions in the headers with this prefix. An ETag condition overrides the date condition next to it:
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax
 */
function evaluate(
  headers: RequestHeaders,
  prefix: '' | 'x-amz-copy-source-',
  object: ObjectState,
): 'met' | 'failed' | 'not modified' {
  const match = headers[`${prefix}if-match`];
  const noneMatch = headers[`${prefix}if-none-match`];
  const unmodifiedSince = readDate(headers[`${prefix}if-unmodified-since`], Number.POSITIVE_INFINITY);
  const modifiedSince = readDate(headers[`${prefix}if-modified-since`], Number.NEGATIVE_INFINITY);
  if (match === undefined ? object.modified > unmodifiedSince : !matches(match, object.etag)) return 'failed';
  const isUnchanged =
    noneMatch === undefined ? object.modified <= modifiedSince : matches(noneMatch, object.etag);
  return isUnchanged ? 'not modified' : 'met';
}

/** Evaluates the conditions of a GET or HEAD. @throws {S3Error} `PreconditionFailed` */
export function checkReadConditions(headers: RequestHeaders, object: ObjectState): 'met' | 'not modified' {
  const result = evaluate(headers, '', object);
  if (result === 'failed') throw new S3Error('PreconditionFailed');
  return result;
}

/** Evaluates the conditions on the source of a copy. A result that is 304 for a GET is 412 here. */
export function checkCopySource(headers: RequestHeaders, source: ObjectState): void {
  if (evaluate(headers, 'x-amz-copy-source-', source) !== 'met') throw new S3Error('PreconditionFailed');
}

/** Checks the object that a write replaces, in the same synchronous step as the write. @throws {S3Error} */
export type WriteGuard = (current: ObjectState | undefined) => void;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html */
export function createWriteGuard(headers: RequestHeaders): WriteGuard {
  const match = headers['if-match'];
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined && noneMatch.trim() !== '*') {
    throw new S3Error('NotImplemented', 'If-None-Match on a write supports only *');
  }
  if (match !== undefined && noneMatch !== undefined) {
    throw new S3Error('NotImplemented', 'If-Match and If-None-Match on one write are not supported');
  }
  return (current) => {
    if (noneMatch !== undefined && current) throw new S3Error('PreconditionFailed');
    if (match === undefined) return;
    if (!current) throw new S3Error('NoSuchKey');
    if (!matches(match, current.etag)) throw new S3Error('PreconditionFailed');
  };
}

const matches = (header: string, etag: string): boolean =>
  header.split(',').some((part) => {
    const candidate = part
      .trim()
      .replace(/^W\//, '')
      .replace(/^"(.*)"$/, '$1');
    return candidate === '*' || candidate === etag;
  });

/** An invalid date is not a condition (RFC 9110, 13.1.3). */
function readDate(header = '', fallback: number): number {
  const time = Date.parse(header);
  return Number.isNaN(time) ? fallback : time;
}
