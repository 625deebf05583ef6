import * as v from 'valibot';
import { FileId, formatIssues, NonEmptyString, NonNegativeInt, PositiveInt, Sha1 } from '../../schemas.ts';
import { MediaUrl } from '../media-url.ts';

/**
 * The responses of API 2018-07-17. VOD sends null for a field without a value. IDs are strings: a number has lost digits when it
 * arrives here, and is an error.
 */

/** The keys of one upload. `expiresAt`: milliseconds since 1970. */
const TempCertificate = v.pipe(
  v.object({
    SecretId: NonEmptyString,
    SecretKey: NonEmptyString,
    Token: NonEmptyString,
    ExpiredTime: PositiveInt,
  }),
  v.transform(({ SecretId, SecretKey, Token, ExpiredTime }) => ({
    secretId: SecretId,
    secretKey: SecretKey,
    token: Token,
    expiresAt: ExpiredTime * 1000,
  })),
);

/** Bucket and region become labels of a host name, which receives the keys and the video. */
const HostLabel = v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'Expected a host label'));

/** A key in COS: the path without its leading slash. */
const StoragePath = v.pipe(
  v.string(),
  v.transform((path) => path.replace(/^\//, '')),
  v.nonEmpty(),
);

export const ApplyUploadResponse = v.pipe(
  v.object({
    StorageBucket: HostLabel,
    StorageRegion: HostLabel,
    VodSessionKey: NonEmptyString,
    MediaStoragePath: StoragePath,
    CoverStoragePath: v.nullish(v.string(), ''),
    TempCertificate: v.nullish(TempCertificate, null),
  }),
  v.transform((response) => ({
    bucket: response.StorageBucket,
    region: response.StorageRegion,
    sessionKey: response.VodSessionKey,
    path: response.MediaStoragePath,
    ...(response.CoverStoragePath && { coverPath: response.CoverStoragePath.replace(/^\//, '') }),
    keys: response.TempCertificate,
  })),
);

export const CommitUploadResponse = v.pipe(
  v.object({ FileId, MediaUrl: v.nullish(MediaUrl, '') }),
  v.transform((response) => ({ fileId: response.FileId, url: response.MediaUrl })),
);

export const ModifyMediaInfoResponse = v.pipe(
  v.object({ CoverUrl: v.nullish(MediaUrl, '') }),
  v.transform(({ CoverUrl: coverUrl }) => ({ coverUrl })),
);

const MediaInfo = v.pipe(
  v.object({
    FileId,
    BasicInfo: v.nullish(
      v.object({
        MediaUrl: v.nullish(MediaUrl, ''),
        SourceInfo: v.nullish(v.object({ SourceContext: v.nullish(v.string(), '') }), {}),
      }),
      {},
    ),
    MetaData: v.nullish(v.object({ Size: v.nullish(NonNegativeInt) }), {}),
  }),
  v.transform(({ FileId, BasicInfo: { MediaUrl: url, SourceInfo }, MetaData: { Size } }) => ({
    fileId: FileId,
    url,
    sourceContext: SourceInfo.SourceContext,
    ...(typeof Size === 'number' && { size: Size }),
  })),
);
export type MediaInfo = v.InferOutput<typeof MediaInfo>;

export const DescribeMediaInfosResponse = v.pipe(
  v.object({ MediaInfoSet: v.nullish(v.array(MediaInfo), []) }),
  v.transform(({ MediaInfoSet }) => MediaInfoSet),
);

/** The response of a call that starts a task. */
export const TaskResponse = v.pipe(
  v.object({ TaskId: NonEmptyString }),
  v.transform(({ TaskId }) => TaskId),
);

const AnySha1 = v.pipe(v.string(), v.toLowerCase(), Sha1);

/** The result of one task. An `ErrCode` other than 0 means that the task failed. */
const taskOf = <const S extends v.ObjectEntries>(entries: S) =>
  v.nullish(
    v.object({
      ErrCode: v.nullish(v.pipe(v.number(), v.integer()), 0),
      Message: v.nullish(v.string(), ''),
      ...entries,
    }),
  );

export const DescribeTaskDetailResponse = v.object({
  Status: v.picklist(['WAITING', 'PROCESSING', 'FINISH']),
  DescribeFileAttributesTask: taskOf({ Output: v.nullish(v.object({ Sha1: AnySha1 })) }),
  PullUploadTask: taskOf({
    FileId: v.nullish(v.union([FileId, v.literal('')])),
    FileUrl: v.nullish(MediaUrl, ''),
  }),
});
export type DescribeTaskDetailResponse = v.InferOutput<typeof DescribeTaskDetailResponse>;

/** `code` and `message` are texts of VOD, without secrets. */
export type ApiError = Readonly<{ code: string; message: string; requestId: string }>;

const Envelope = v.object({
  Response: v.looseObject({
    RequestId: v.string(),
    Error: v.optional(v.object({ Code: NonEmptyString, Message: v.nullish(v.string(), '') })),
  }),
});

/** A response of API 2.0, whose endpoint does not know the calls of this API. */
const OlderResponse = v.object({ code: v.number() });

/**
 * Parses the envelope of a response. A problem never quotes the response, which can contain the keys of an upload.
 * @param redact removes secrets from text that VOD returns
 */
export function parseResponse(
  text: string,
  redact: (text: string) => string,
): { response: unknown } | { error: ApiError } | { problem: string; isOlderApi?: true } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { problem: `expected JSON, got other text of ${text.length} characters` };
  }
  if (v.is(OlderResponse, json))
    return { problem: 'expected a response of API 2018-07-17, got one of API 2.0', isOlderApi: true };
  const { success, output, issues } = v.safeParse(Envelope, json);
  if (!success) return { problem: `unexpected response: ${formatIssuesWithoutValues(issues)}` };
  const { Error: error, RequestId } = output.Response;
  if (!error) return { response: output.Response };
  const [code, message, requestId] = [redact(error.Code), redact(error.Message), redact(RequestId)];
  return { error: { code, message, requestId } };
}

/** As `formatIssues`, with the types of the received values instead of the values. */
export const formatIssuesWithoutValues = (issues: readonly v.BaseIssue<unknown>[]): string =>
  formatIssues(issues.map((issue) => ({ ...issue, message: describeIssue(issue) })));

function describeIssue({ kind, expected, input }: v.BaseIssue<unknown>): string {
  if (typeof input === 'number' && expected?.includes('string'))
    return `expected ${expected}, got a number, which loses digits`;
  const type = input === undefined ? 'nothing' : input === null ? 'null' : typeof input;
  return `expected ${expected ?? 'other content'}, got ${kind === 'schema' ? type : `another ${type}`}`;
}

/** `stop`: the same request would fail again. `repeat`: send it again with backoff. `wait`: a limit of VOD is exceeded. */
export type ErrorAction = 'stop' | 'repeat' | 'wait';

export function errorActionFor(code: string): ErrorAction {
  if (isCode(code, 'RequestLimitExceeded')) return 'wait';
  return REPEAT_CODES.some((repeat) => isCode(code, repeat)) ? 'repeat' : 'stop';
}

const REPEAT_CODES = ['InternalError', 'FailedOperation.NetWorkError', 'FailedOperation.UploadCosFail'];

/** Whether `code` is `general` or one of its cases: `ResourceNotFound.X` is a `ResourceNotFound`. */
export const isCode = (code: string, general: string): boolean =>
  code === general || code.startsWith(`${general}.`);

/** The hints by code or, for a parameter, by its name in the code or the message. The first match counts. */
const HINTS: readonly [pattern: RegExp, hint: string][] = [
  [/^AuthFailure\.SignatureExpire/, 'the clock differs by more than five minutes. Set the clock'],
  [/^AuthFailure\.SecretIdNotFound/, 'the key is unknown. Check VOD_SECRET_ID'],
  [/^AuthFailure\.SignatureFailure/, 'the signature is wrong. Check VOD_SECRET_KEY'],
  [/^AuthFailure\.TokenFailure/, 'the token is wrong or expired. Check VOD_TOKEN'],
  [/^AuthFailure/, 'the keys are rejected. Check VOD_SECRET_ID, VOD_SECRET_KEY, and the clock'],
  [
    /^(ActionOffline|InvalidAction)/,
    'this endpoint does not offer the call. Check VOD_ENDPOINT. An account of the older API needs VOD_API=2.0',
  ],
  [/^FailedOperation\.(InvalidVodUser|InvalidAccount)/, 'activate VOD in the console, or check the account'],
  [
    /^(UnauthorizedOperation|FailedOperation\.NoPrivileges)/,
    'the key lacks the permission for this call or application. Check its policy, and VOD_SUB_APP_ID',
  ],
  [
    /SubAppId/i,
    'set VOD_SUB_APP_ID to an application of this account. It is mandatory for accounts opened since 2023-12-25',
  ],
  [/MediaType/, 'VOD does not accept this type. Check the extension of the key'],
  [/MediaUrl/, 'VOD cannot use the address of the object. Set VOD_UPLOAD=push'],
  [/Procedure/, 'the task flow does not exist. Check VOD_PROCEDURE'],
  [
    /StorageRegion/,
    'the region was never opened for the account. Open it once in the console, or choose another one in VOD_STORAGE_REGION',
  ],
  [/ExpireTime/, 'expected a future time such as 2030-01-01T00:00:00Z. Check VOD_EXPIRE_TIME'],
  [/SourceContext/, 'expected at most 250 characters. Check VOD_SOURCE_CONTEXT'],
  [/ClassId/, 'the class does not exist. Check VOD_CLASS_ID'],
  [/^ResourceNotFound|FileId/, 'VOD does not have it, or not in this application. Check VOD_SUB_APP_ID'],
];

/** Errors travel through the states of the state machine. */
const MAX_MESSAGE_CHARS = 400;

/** The code, the message of VOD, the ID of the request, and what to check. */
export function describeError({ code, message, requestId }: ApiError): string {
  const text = message.slice(0, MAX_MESSAGE_CHARS);
  const hint = HINTS.find(([pattern]) => pattern.test(`${code} ${message}`))?.[1];
  return `${code.slice(0, 80)}${text && ` (${text})`}, request ${requestId.slice(0, 80)}${hint ? `: ${hint}` : ''}`;
}
