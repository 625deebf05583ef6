import * as v from 'valibot';
import { ApiError } from './api-error.ts';

/** https://www.tencentcloud.com/document/product/266/9760 */
const words = (list: string): ReadonlySet<string> => new Set(list.split(' '));
const MEDIA_TYPES = words(
  'wmv rm mov mpeg mp4 3gp flv avi rmvb ts asf mpg webm mkv m3u8 wm asx ram mpe vob dat mp4v m4v f4v mxf qt ogg ' +
    'mp3 m4a flac wav ra aac amr',
);
const COVER_TYPES = words('jpg jpeg png gif bmp tiff ai cdr eps tif heif');

/** At most `max` characters. */
const text = (max: number) =>
  v.pipe(
    v.string(),
    v.check((value) => [...value].length <= max, `expected at most ${max} characters`),
  );
const typeIn = (types: ReadonlySet<string>) =>
  v.pipe(
    v.string(),
    v.check((value) => types.has(value.toLowerCase()), 'expected a type that VOD knows'),
  );
const integer = v.pipe(v.number(), v.integer('expected an integer'), v.minValue(0, 'expected 0 or more'));
const tag = v.pipe(text(32), v.nonEmpty('expected a tag'));
const tags = v.pipe(v.array(tag), v.maxLength(16, 'expected at most 16 tags'));

const common = { SubAppId: v.optional(integer) };

const upload = {
  MediaName: v.optional(text(64)),
  Procedure: v.optional(v.string()),
  ExpireTime: v.optional(v.string()),
  StorageRegion: v.optional(v.string()),
  ClassId: v.optional(integer),
  SourceContext: v.optional(text(250)),
  SessionContext: v.optional(text(1000)),
};

const isHttpAddress = (address: string): boolean => /^https?:\/\//.test(address) && URL.canParse(address);

const sessionId = v.optional(text(50));

/** The parameters of the calls. */
const SCHEMAS = {
  ApplyUpload: v.strictObject({
    ...common,
    ...upload,
    MediaType: typeIn(MEDIA_TYPES),
    CoverType: v.optional(typeIn(COVER_TYPES)),
  }),
  CommitUpload: v.strictObject({ ...common, VodSessionKey: v.string() }),
  ModifyMediaInfo: v.strictObject({
    ...common,
    FileId: v.string(),
    Name: v.optional(text(64)),
    Description: v.optional(text(128)),
    ClassId: v.optional(integer),
    ExpireTime: v.optional(v.string()),
    CoverData: v.optional(v.string()),
    AddTags: v.optional(tags),
    DeleteTags: v.optional(tags),
  }),
  DescribeMediaInfos: v.strictObject({
    ...common,
    FileIds: v.pipe(
      v.array(v.string()),
      v.minLength(1, 'expected a FileId'),
      v.maxLength(20, 'expected at most 20'),
    ),
    Filters: v.optional(v.array(v.picklist(['basicInfo', 'metaData'], 'expected basicInfo or metaData'))),
  }),
  DescribeFileAttributes: v.strictObject({ ...common, FileId: v.string(), SessionId: sessionId }),
  DescribeTaskDetail: v.strictObject({ ...common, TaskId: v.string() }),
  PullUpload: v.strictObject({
    ...common,
    ...upload,
    MediaUrl: v.pipe(v.string(), v.check(isHttpAddress, 'expected an HTTP address')),
    MediaType: v.optional(typeIn(MEDIA_TYPES)),
    SessionId: sessionId,
  }),
} as const;

/** Parameters that the API documents and this service does not implement. */
const UNSUPPORTED: ReadonlySet<string> = words('ExtInfo MediaStoragePath CoverUrl TasksPriority ClearTags');

export type ApiAction = keyof typeof SCHEMAS;
export type ApiParameters<A extends ApiAction> = v.InferOutput<(typeof SCHEMAS)[A]>;

export const API_ACTIONS: readonly string[] = Object.keys(SCHEMAS);
export const isApiAction = (name: string): name is ApiAction => API_ACTIONS.includes(name);

/** @throws {ApiError} that names the parameter */
export function readParameters<A extends ApiAction>(action: A, body: unknown): ApiParameters<A> {
  // To an object schema, an array is an object.
  if (Array.isArray(body)) throw new ApiError('InvalidParameter', 'The body: expected a JSON object.');
  const schema: v.GenericSchema<unknown, ApiParameters<A>> = SCHEMAS[action];
  const parsed = v.safeParse(schema, body, { abortPipeEarly: true });
  if (parsed.success) return parsed.output;
  throw describeIssue(parsed.issues[0]);
}

/** Whether VOD can store a file of this type. */
export const isMediaType = (type: string): boolean => MEDIA_TYPES.has(type.toLowerCase());

function describeIssue(issue: v.BaseIssue<unknown>): ApiError {
  const path = v.getDotPath(issue);
  if (path === null) return new ApiError('InvalidParameter', 'The body: expected a JSON object.');
  const name = path.split('.', 1)[0] ?? '';
  if (issue.type === 'strict_object') {
    if (issue.expected !== 'never')
      return new ApiError('MissingParameter', `The request is missing the parameter ${name}.`);
    if (UNSUPPORTED.has(name))
      return new ApiError('UnsupportedOperation', `${name} is not supported by this local VOD.`);
    return new ApiError('UnknownParameter', `The parameter ${name} is not recognized.`);
  }
  if (issue.kind === 'schema' && issue.type !== 'picklist') {
    return new ApiError('InvalidParameter', `${path}: expected ${issue.expected}, got ${issue.received}.`);
  }
  return new ApiError(`InvalidParameterValue.${name}`, `${path}: ${issue.message}.`);
}
