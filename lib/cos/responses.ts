import { parseXML } from '@aws-sdk/xml-builder';
import * as v from 'valibot';
import { PartRejected, UploadNotFound, VodRejected, VodUnavailable } from '../errors.ts';
import { formatIssues, NonEmptyString, PositiveInt, truncate } from '../schemas.ts';

/** The responses of COS, and the reactions to its errors: https://www.tencentcloud.com/document/product/436/7730 */

/** The parser of the S3 client. It returns text for an element without children, and a list only for several equal names. */
const Xml = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }): unknown => {
    try {
      return parseXML(dataset.value);
    } catch {
      addIssue({ message: 'Expected XML' });
      return NEVER;
    }
  }),
);

const Digits = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'Expected digits'), v.transform(Number));

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
const listOf = <const S extends v.GenericSchema>(schema: S) =>
  v.optional(
    v.pipe(
      v.unknown(),
      v.transform((value) => (isList(value) ? [...value] : [value])),
      v.array(schema),
    ),
    [],
  );

export const unquote = (etag: string): string => etag.replace(/^"(.*)"$/, '$1');
const ETag = v.pipe(NonEmptyString, v.transform(unquote));

export const CreateResult = v.pipe(
  Xml,
  v.object({ InitiateMultipartUploadResult: v.object({ UploadId: NonEmptyString }) }),
  v.transform((xml) => xml.InitiateMultipartUploadResult.UploadId),
);

export const CompleteResult = v.pipe(
  Xml,
  v.object({ CompleteMultipartUploadResult: v.object({ ETag }) }),
  v.transform((xml) => xml.CompleteMultipartUploadResult.ETag),
);

const ListedPart = v.pipe(
  v.object({ PartNumber: v.pipe(Digits, PositiveInt), Size: Digits, ETag }),
  v.transform(({ PartNumber, Size, ETag }) => ({ number: PartNumber, size: Size, etag: ETag })),
);

/** `next`: the last part of this page, if there is another page. */
export const ListPartsResult = v.pipe(
  Xml,
  v.object({
    ListPartsResult: v.variant('IsTruncated', [
      v.object({ IsTruncated: v.literal('true'), NextPartNumberMarker: Digits, Part: listOf(ListedPart) }),
      v.object({ IsTruncated: v.literal('false'), Part: listOf(ListedPart) }),
    ]),
  }),
  v.transform(({ ListPartsResult: page }) => ({
    parts: page.Part,
    next: page.IsTruncated === 'true' ? page.NextPartNumberMarker : undefined,
  })),
);

export const ListUploadsResult = v.pipe(
  Xml,
  v.object({
    ListMultipartUploadsResult: v.union([
      v.object({ Upload: listOf(v.object({ Key: NonEmptyString, UploadId: NonEmptyString })) }),
      v.literal(''),
    ]),
  }),
  v.transform(({ ListMultipartUploadsResult: result }) =>
    result === '' ? [] : result.Upload.map(({ Key, UploadId }) => ({ key: Key, uploadId: UploadId })),
  ),
);

const ErrorResult = v.pipe(
  Xml,
  v.object({ Error: v.object({ Code: NonEmptyString, Message: v.optional(v.string(), '') }) }),
  v.transform((xml) => xml.Error),
);

/** Decimal, because a double cannot represent it. */
export const Uint64 = v.pipe(
  v.string(),
  v.regex(/^\d{1,20}$/, 'Expected an unsigned integer of 64 bits'),
  v.transform((digits) => BigInt(digits)),
  v.maxValue(2n ** 64n - 1n),
);

/** `text`: the body, without secrets. `areKeysExpired`: the keys of the request have ended by our clock. */
export type CosResponse = Readonly<{
  status: number;
  headers: Readonly<Record<string, string>>;
  text: string;
  areKeysExpired: boolean;
}>;

/** COS reports some errors after it has sent status 200. */
export const isFailure = ({ status, text }: CosResponse): boolean =>
  status < 200 || status >= 300 || (text.includes('<Error') && v.is(ErrorResult, text));

/** Parses a success. @throws {VodUnavailable} if the response does not have the documented form */
export function parseResponse<const S extends v.GenericSchema>(
  operation: string,
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const { success, output, issues } = v.safeParse(schema, value);
  if (success) return output;
  throw new VodUnavailable(`${operation}: unexpected response: ${formatIssues(issues)}`);
}

/** The upload ended, or lacks a part that was to be completed. */
const LOST_CODES = new Set(['NoSuchUpload', 'InvalidPart', 'ExpiredToken']);
const RESEND_CODES = new Set(['BadDigest', 'InvalidDigest']);
const TRANSIENT =
  /^(InternalError|ServiceUnavailable|SlowDown|TooManyRequests|RequestTimeout|IncompleteBody)$/;
const TRANSIENT_STATUS = new Set([408, 429]);

const HINTS: Readonly<Record<string, string>> = {
  RequestTimeTooSkewed: ' Check the clock.',
  AccessDenied: ' Check the clock, and the permissions of the keys.',
  InvalidAccessKeyId: ' Check VOD_SECRET_ID.',
  SignatureDoesNotMatch: ' Check VOD_SECRET_KEY and VOD_COS_ENDPOINT.',
  NoSuchBucket: ' Check VOD_STORAGE_REGION and VOD_COS_ENDPOINT.',
};

const MAX_MESSAGE_CHARS = 400;

/** The error for a failure. */
export function toCosError(operation: string, response: CosResponse): Error {
  const { status, text, areKeysExpired } = response;
  const parsed = v.safeParse(ErrorResult, text);
  const code = parsed.success ? parsed.output.Code : '';
  const detail = parsed.success ? parsed.output.Message : text && JSON.stringify(text.slice(0, 80));
  const redirect = status >= 300 && status < 400 ? ', a redirect, which is not followed' : '';
  const quoted = detail && `(${truncate(detail, MAX_MESSAGE_CHARS)})`;
  const message = `${[`${operation}: HTTP ${status}${redirect}`, code, quoted].filter(Boolean).join(' ')}.`;
  if (RESEND_CODES.has(code)) return new PartRejected(message);
  if (LOST_CODES.has(code)) return new UploadNotFound(message);
  if (status === 403 && areKeysExpired) return new UploadNotFound(`${message} The keys have expired.`);
  const isTransient = status >= 500 || TRANSIENT_STATUS.has(status) || TRANSIENT.test(code);
  if (isTransient) return new VodUnavailable(message);
  // The response to a HEAD has no body, and so no code.
  const hint = HINTS[code === '' && status === 403 ? 'AccessDenied' : code];
  return new VodRejected(`${message}${hint ?? (code === '' ? ' Check VOD_COS_ENDPOINT.' : '')}`);
}
