import * as v from 'valibot';
import { UploadNotFound, VodUnavailable } from '../../errors.ts';
import type { Quota } from '../../quota/quota.ts';
import { type FileId, type Sha1, truncate } from '../../schemas.ts';
import { withRetries } from '../retries.ts';
import {
  ApplyUploadResponse,
  CommitUploadResponse,
  DescribeMediaInfosResponse,
  DescribeTaskDetailResponse,
  formatIssuesWithoutValues,
  isCode,
  type MediaInfo,
  ModifyMediaInfoResponse,
  TaskResponse,
} from './responses.ts';
import { ApiRejected, createTransport, type VodApiCall, type VodApiSettings } from './transport.ts';

/** The calls of API 2018-07-17 (`vod.tencentcloudapi.com`), which defines their fields, limits, and codes. */

/** The properties of a file. `expireTime`: in ISO 8601. */
export type MediaOptions = Readonly<{
  /** The extension of the file, without the dot. */
  mediaType: string;
  mediaName?: string | undefined;
  classId?: number | undefined;
  /** The name of a task flow that VOD starts with the file. */
  procedure?: string | undefined;
  expireTime?: string | undefined;
  storageRegion?: string | undefined;
  /** At most 250 characters. VOD returns it with the file, so a file is recognized by it. */
  sourceContext?: string | undefined;
}>;

/** Keys of COS for one upload. `expiresAt`: milliseconds since 1970. */
export type AppliedUpload = v.InferOutput<typeof ApplyUploadResponse>;

export type CommittedFile = Readonly<{ fileId: FileId; url: string }>;

/** `failed`: VOD could not do it. `reason` is a text of VOD. `sha1` and `file`: the results of the two kinds of tasks. */
export type TaskDetail =
  | Readonly<{ state: 'running' }>
  | Readonly<{ state: 'failed'; reason: string }>
  | Readonly<{ state: 'finished'; sha1?: Sha1; file?: CommittedFile }>;

export const MAX_DESCRIBED_FILES = 20;

/** VOD may have executed a CommitUpload whose response did not arrive. The same call can be repeated. */
export class CommitUnconfirmed extends VodUnavailable {}

/** Each call retries, then throws {VodUnavailable}, {VodRejected}, {QuotaExceeded}, or the reason of the signal. */
export type VodApi = Readonly<{
  /**
   * Opens an upload at a new path. Each call opens another one.
   * @param coverType the extension of an image that is sent to `coverPath`
   */
  applyUpload(
    file: MediaOptions & { coverType?: string | undefined },
    signal: AbortSignal,
  ): Promise<AppliedUpload>;
  /**
   * Makes a file of the object at `path`.
   * @throws {CommitUnconfirmed} when VOD may have executed the call. This applies to the reason of the signal, too
   * @throws {UploadNotFound} when VOD does not know the session any more. Its `cause` is {CommitUnconfirmed} if an earlier
   * attempt of this call may have been executed
   */
  commitUpload(
    upload: Pick<AppliedUpload, 'sessionKey' | 'path'>,
    signal: AbortSignal,
  ): Promise<CommittedFile>;
  /**
   * Changes a file.
   * @param cover the bytes of a GIF, JPEG, or PNG image
   * @param addTags at most 16 tags of at most 32 characters
   */
  modifyMediaInfo(
    change: Readonly<{
      fileId: FileId;
      name?: string | undefined;
      classId?: number | undefined;
      expireTime?: string | undefined;
      cover?: Uint8Array | undefined;
      addTags?: readonly string[] | undefined;
    }>,
    signal: AbortSignal,
  ): Promise<{ coverUrl: string }>;
  /** Describes those of at most 20 files that exist. */
  describeMediaInfos(fileIds: readonly string[], signal: AbortSignal): Promise<MediaInfo[]>;
  /** Starts the task that computes the SHA-1 of a file. @returns the ID of the task */
  describeFileAttributes(fileId: FileId, signal: AbortSignal): Promise<string>;
  describeTaskDetail(taskId: string, signal: AbortSignal): Promise<TaskDetail>;
  /**
   * Starts the task that fetches `mediaUrl`.
   * @param sessionId at most 50 characters. VOD accepts it once in three days
   * @returns the ID of the task, or undefined if VOD has already accepted this `sessionId`
   */
  pullUpload(
    pull: MediaOptions & { mediaUrl: string; sessionId: string },
    signal: AbortSignal,
  ): Promise<string | undefined>;
  /** Closes idle connections. */
  close(): void;
}>;

/** @param quota each request takes a call from it */
export function createVodApi(settings: VodApiSettings, quota: Quota): VodApi {
  const transport = createTransport(settings);

  async function sendOnce<const S extends v.GenericSchema>(
    schema: S,
    call: VodApiCall,
    signal: AbortSignal,
  ): Promise<v.InferOutput<S>> {
    const parsed = v.safeParse(schema, await transport.send(call, signal));
    if (parsed.success) return parsed.output;
    const issues = formatIssuesWithoutValues(parsed.issues);
    throw new VodUnavailable(`${call.action} ${call.target}: unexpected response: ${issues}`);
  }

  const send = <const S extends v.GenericSchema>(
    schema: S,
    call: VodApiCall,
    signal: AbortSignal,
  ): Promise<v.InferOutput<S>> =>
    withRetries(quota, call.action, signal, () => sendOnce(schema, call, signal));

  return {
    applyUpload: ({ coverType, ...file }, signal) => {
      const params = { ...mediaParams(file), CoverType: coverType };
      return send(ApplyUploadResponse, { action: 'ApplyUpload', target: nameOf(file), params }, signal);
    },

    async commitUpload({ sessionKey, path }, signal) {
      const call: VodApiCall = {
        action: 'CommitUpload',
        target: path,
        params: { VodSessionKey: sessionKey },
        secrets: [sessionKey],
      };
      let unconfirmed: CommitUnconfirmed | undefined;
      return withRetries(quota, call.action, signal, async () => {
        try {
          return await sendOnce(CommitUploadResponse, call, signal);
        } catch (error) {
          if (isSessionGone(error)) throw new UploadNotFound(error.message, { cause: unconfirmed });
          if (!(error instanceof VodUnavailable)) throw error;
          unconfirmed = new CommitUnconfirmed(error.message, { cause: error });
          throw unconfirmed;
        }
      });
    },

    modifyMediaInfo({ fileId, name, classId, expireTime, cover, addTags }, signal) {
      const params = {
        FileId: fileId,
        Name: name,
        ClassId: classId,
        ExpireTime: expireTime,
        CoverData: cover && Buffer.from(cover).toString('base64'),
        AddTags: addTags,
      };
      return send(ModifyMediaInfoResponse, { action: 'ModifyMediaInfo', target: fileId, params }, signal);
    },

    describeMediaInfos(fileIds, signal) {
      const params = { FileIds: fileIds, Filters: ['basicInfo', 'metaData'] };
      const target = fileIds.join(', ');
      return send(DescribeMediaInfosResponse, { action: 'DescribeMediaInfos', target, params }, signal);
    },

    describeFileAttributes(fileId, signal) {
      const params = { FileId: fileId };
      return send(TaskResponse, { action: 'DescribeFileAttributes', target: fileId, params }, signal);
    },

    async describeTaskDetail(taskId, signal) {
      const call: VodApiCall = {
        action: 'DescribeTaskDetail',
        target: taskId,
        params: { TaskId: taskId },
      };
      return toTaskDetail(call, await send(DescribeTaskDetailResponse, call, signal));
    },

    async pullUpload({ mediaUrl, sessionId, ...file }, signal) {
      const call: VodApiCall = {
        action: 'PullUpload',
        target: nameOf(file),
        params: { ...mediaParams(file), MediaUrl: mediaUrl, SessionId: sessionId },
        secrets: [mediaUrl, new URL(mediaUrl).search],
      };
      try {
        return await send(TaskResponse, call, signal);
      } catch (error) {
        if (error instanceof ApiRejected && error.code === 'InvalidParameterValue.SessionId')
          return undefined;
        throw error;
      }
    },

    close: transport.close,
  };
}

const nameOf = ({ mediaName = 'unnamed', mediaType }: MediaOptions): string => `${mediaName}.${mediaType}`;

/** JSON omits the parameters without a value. */
const mediaParams = (file: MediaOptions) => ({
  MediaType: file.mediaType,
  MediaName: file.mediaName,
  ClassId: file.classId,
  Procedure: file.procedure,
  ExpireTime: file.expireTime,
  StorageRegion: file.storageRegion,
  SourceContext: file.sourceContext,
});

const isSessionGone = (error: unknown): error is ApiRejected =>
  error instanceof ApiRejected &&
  (isCode(error.code, 'ResourceNotFound') || error.code === 'InvalidParameterValue.VodSessionKey');

/** A task that finished without the result of its kind is neither a success nor a failure that VOD states. */
function toTaskDetail(call: VodApiCall, detail: DescribeTaskDetailResponse): TaskDetail {
  const { Status, DescribeFileAttributesTask: attributes, PullUploadTask: pull } = detail;
  if (Status !== 'FINISH') return { state: 'running' };
  for (const task of [attributes, pull])
    if (task && task.ErrCode !== 0)
      return { state: 'failed', reason: `code ${task.ErrCode} (${withoutQueries(task.Message)})` };
  if (attributes?.Output) return { state: 'finished', sha1: attributes.Output.Sha1 };
  if (pull?.FileId) return { state: 'finished', file: { fileId: pull.FileId, url: pull.FileUrl } };
  throw new VodUnavailable(
    `${call.action} ${call.target}: expected the SHA-1 or the FileId of a finished task, got neither`,
  );
}

/** The message can quote the address of the object, whose query is its signature. */
const withoutQueries = (message: string): string => truncate(message.replace(/\?[^\s"']+/g, '?…'), 400);
