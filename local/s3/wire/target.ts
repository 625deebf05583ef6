import { S3Error } from './errors.ts';

/**
 * The target of a request. `path` and `query` are decoded once and not normalized: to S3, `a//b`, `.`, and `..` are
 * ordinary keys, and `new URL` would collapse them.
 */
export type Target = Readonly<{ path: string; bucket: string; key: string; query: Query }>;

/** Decoded pairs in the order of the request. */
export type Query = readonly (readonly [name: string, value: string])[];

const MAX_KEY_BYTES = 1024;

/** Reads a raw path-style request target, `/bucket/key?query`. @throws {S3Error} `InvalidURI` or `KeyTooLongError` */
export function readTarget(raw: string): Target {
  const [rawPath = '', ...rawQuery] = raw.split('?');
  const path = decode(rawPath);
  if (!path.startsWith('/')) throw new S3Error('InvalidURI');
  const query = rawQuery.join('?').split('&').filter(Boolean).map(readPair);
  const slash = path.indexOf('/', 1);
  const bucket = slash < 0 ? path.slice(1) : path.slice(1, slash);
  const key = slash < 0 ? '' : path.slice(slash + 1);
  checkKey(key);
  return { path, bucket, key, query };
}

export function checkKey(key: string): void {
  const size = Buffer.byteLength(key);
  if (size > MAX_KEY_BYTES) {
    throw new S3Error('KeyTooLongError', { details: { Size: size, MaxSizeAllowed: MAX_KEY_BYTES } });
  }
}

/** The first value of `name`: `''` for `?uploads`, undefined if the query does not contain it. */
export const queryValue = (query: Query, name: string): string | undefined =>
  query.find(([candidate]) => candidate === name)?.[1];

/** Reads a count such as `max-keys`, at most `max`, which is also the default. */
export function queryCount(query: Query, name: string, max: number): number {
  const text = queryValue(query, name);
  if (text === undefined || text === '') return max;
  if (!/^\d{1,9}$/.test(text)) {
    throw new S3Error('InvalidArgument', {
      message: `Provided ${name} not an integer or within integer range`,
      details: { ArgumentName: name, ArgumentValue: text },
    });
  }
  return Math.min(Number(text), max);
}

/** Reads `x-amz-copy-source`: URL-encoded `bucket/key`, optionally with a leading slash and `?versionId=`. */
export function readCopySource(
  header: string,
): Readonly<{ bucket: string; key: string; versionId?: string }> {
  const mark = header.lastIndexOf('?versionId=');
  const path = decode(mark < 0 ? header : header.slice(0, mark)).replace(/^\//, '');
  const slash = path.indexOf('/');
  if (slash < 1 || slash === path.length - 1) {
    throw new S3Error(
      'InvalidArgument',
      'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
    );
  }
  const versionId = mark < 0 ? '' : decode(header.slice(mark + '?versionId='.length));
  return { bucket: path.slice(0, slash), key: path.slice(slash + 1), ...(versionId && { versionId }) };
}

/** Encodes every UTF-8 byte except letters, digits, and `-._~` (RFC 3986). */
export const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export const encodePath = (path: string): string => encode(path).replaceAll('%2F', '/');

function readPair(pair: string): readonly [string, string] {
  const [name = '', ...value] = pair.replaceAll('+', ' ').split('=');
  return [decode(name), decode(value.join('='))];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    // Not UTF-8, or a stray percent sign.
    throw new S3Error('InvalidURI', { cause });
  }
}
