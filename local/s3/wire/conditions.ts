import { S3Error } from './errors.ts';

type Named = Readonly<Record<string, string | undefined>>;
/** The object a condition looks at. `modified` is in whole seconds, as `Last-Modified` is. */
type Judged = Readonly<{ etag: string; modified: number }>;

type ReadConditions = Readonly<{
  match: string | undefined;
  noneMatch: string | undefined;
  modifiedSince: string | undefined;
  unmodifiedSince: string | undefined;
}>;

const readConditions = (headers: Named, prefix: string): ReadConditions => ({
  match: headers[`${prefix}if-match`],
  noneMatch: headers[`${prefix}if-none-match`],
  modifiedSince: headers[`${prefix}if-modified-since`],
  unmodifiedSince: headers[`${prefix}if-unmodified-since`],
});

/**
 * An ETag condition, where there is one, settles the matter and the date beside it is not looked at:
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html#API_GetObject_RequestSyntax
 */
function judge(conditions: ReadConditions, object: Judged): 'holds' | 'failed' | 'not modified' {
  const { match, noneMatch, modifiedSince, unmodifiedSince } = conditions;
  if (match !== undefined) {
    if (!matches(match, object.etag)) return 'failed';
  } else if (object.modified > readDate(unmodifiedSince, Number.POSITIVE_INFINITY)) {
    return 'failed';
  }
  if (noneMatch !== undefined) return matches(noneMatch, object.etag) ? 'not modified' : 'holds';
  return object.modified <= readDate(modifiedSince, Number.NEGATIVE_INFINITY) ? 'not modified' : 'holds';
}

/** Conditions on a GET or HEAD. */
export function checkRead(headers: Named, object: Judged): 'send' | 'not modified' {
  const verdict = judge(readConditions(headers, ''), object);
  if (verdict === 'failed') throw new S3Error('PreconditionFailed');
  return verdict === 'not modified' ? verdict : 'send';
}

/** Conditions on the source of a copy: what would be a 304 on a GET is a 412 here. */
export function checkCopySource(headers: Named, source: Judged): void {
  if (judge(readConditions(headers, 'x-amz-copy-source-'), source) !== 'holds') {
    throw new S3Error('PreconditionFailed');
  }
}

/** The look a write takes at the object it replaces, in the same synchronous step that replaces it. */
export type Guard = (current: Judged | undefined) => void;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html */
export function writeGuard(headers: Named): Guard {
  const match = headers['if-match'];
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined && noneMatch.trim() !== '*') {
    throw new S3Error('NotImplemented', 'If-None-Match on a write takes * only');
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

/** A date that cannot be read is no condition (RFC 9110, 13.1.3). */
function readDate(header: string | undefined, otherwise: number): number {
  const time = Date.parse(header ?? '');
  return Number.isNaN(time) ? otherwise : time;
}
