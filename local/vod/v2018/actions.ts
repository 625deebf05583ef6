import type { FileStore } from '../file-store.ts';
import { KeyedMutex } from '../keyed-mutex.ts';
import { ApiError } from './api-error.ts';
import { type Library, MediaNotUploaded } from './library.ts';
import { type ApiAction, type ApiParameters, isMediaType } from './parameters.ts';
import type { Pulls } from './pull.ts';
import { COS_BUCKET, type MediaFacts, type Session, type Sessions } from './sessions.ts';
import type { Task, Tasks } from './tasks.ts';

const MAX_COVER_BYTES = 1024 ** 2;
const MAX_TAGS = 16;

/** Keys that the injected fault `keys-end-soon` creates live this long. */
const SHORT_LIFE_MS = 5 * 60_000;

/** The choices of a client. The first region is the default. */
export type AccountSettings = Readonly<{ regions: readonly string[]; procedures: readonly string[] }>;

type ActionContext = Readonly<{
  files: FileStore;
  sessions: Sessions;
  library: Library;
  tasks: Tasks;
  pulls: Pulls;
  settings: AccountSettings;
  /** `null`: ApplyUpload returns no temporary keys. */
  keysLiveMs: number | null;
  repeatCommit: 'reject' | 'same';
  now: () => number;
}>;

/** The fields of a successful response, except the RequestId. */
type ApiResult = Readonly<Record<string, unknown>>;
type Faults = Readonly<{ keysEndSoon: boolean }>;

export type ApiActions = Readonly<{
  [A in ApiAction]: (params: ApiParameters<A>, faults: Faults) => ApiResult | Promise<ApiResult>;
}>;

/** The calls of API 2018-07-17. The HTTP handler has already checked the signature, the limit, and the parameters. */
export function createApiActions(context: ActionContext): ApiActions {
  const { files, sessions, library, tasks, pulls, settings, keysLiveMs, repeatCommit, now } = context;
  const mutex = new KeyedMutex<string>();

  return {
    ApplyUpload(params, { keysEndSoon }) {
      const facts = readFacts(params, params.MediaType);
      const livesMs = keysEndSoon && keysLiveMs !== null ? SHORT_LIFE_MS : keysLiveMs;
      const session = sessions.create({
        fileId: files.createFileId(),
        facts,
        coverType: params.CoverType,
        // Whole seconds, as the response states it.
        expiresAt: livesMs === null ? undefined : Math.floor((now() + livesMs) / 1000) * 1000,
      });
      return {
        StorageBucket: COS_BUCKET,
        StorageRegion: facts.region,
        VodSessionKey: session.key,
        MediaStoragePath: `/${session.mediaKey}`,
        CoverStoragePath: session.coverKey === undefined ? null : `/${session.coverKey}`,
        TempCertificate: session.keys
          ? {
              SecretId: session.keys.secretId,
              SecretKey: session.keys.secretKey,
              Token: session.keys.token,
              ExpiredTime: session.keys.expiresAt / 1000,
            }
          : null,
      };
    },

    async CommitUpload({ VodSessionKey: key }) {
      const found = sessions.find(key);
      if (!found)
        throw new ApiError('InvalidParameterValue.VodSessionKey', 'VodSessionKey: no such session.');
      return mutex.run(found.fileId, async () => {
        const session = sessions.find(key);
        const isCommitted = files.hasVideo(found.fileId);
        if (!session || session.isGone || (isCommitted && repeatCommit === 'reject')) {
          throw new ApiError('ResourceNotFound', 'VodSessionKey: the session has ended.');
        }
        if (!isCommitted) await commit(session);
        await files.save();
        return describeCommitted(session);
      });
    },

    async ModifyMediaInfo(params) {
      const { FileId: fileId, AddTags = [], DeleteTags = [] } = params;
      return mutex.run(fileId, async () => {
        const { tags, fileName, classId } = getVideo(fileId);
        const cover = params.CoverData === undefined ? undefined : readCover(params.CoverData);
        if (params.ExpireTime !== undefined) checkExpireTime(params.ExpireTime);
        const changed = [...new Set([...tags.filter((name) => !DeleteTags.includes(name)), ...AddTags])];
        if (changed.length > MAX_TAGS) {
          throw new ApiError(
            'InvalidParameterValue.AddTags',
            `AddTags: expected at most ${MAX_TAGS} tags of a file.`,
          );
        }
        files.update(fileId, {
          tags: changed,
          fileName: params.Name ?? fileName,
          classId: params.ClassId ?? classId,
          ...(params.Description !== undefined && { description: params.Description }),
          ...(params.ExpireTime !== undefined && { expireTime: params.ExpireTime }),
        });
        if (cover) await library.setCover(fileId, cover.bytes, cover.type);
        await files.save();
        return cover ? { CoverUrl: files.findCoverUrl(fileId) } : {};
      });
    },

    DescribeMediaInfos({ FileIds, Filters = ['basicInfo', 'metaData'] }) {
      const known = FileIds.filter((fileId) => files.hasVideo(fileId));
      return {
        MediaInfoSet: known.map((fileId) => ({
          FileId: fileId,
          BasicInfo: Filters.includes('basicInfo') ? describeVideo(fileId) : null,
          MetaData: Filters.includes('metaData') ? { Size: getVideo(fileId).size } : null,
        })),
        NotExistFileIdSet: FileIds.filter((fileId) => !known.includes(fileId)),
      };
    },

    DescribeFileAttributes({ FileId: fileId, SessionId: sessionId }) {
      getVideo(fileId);
      return { TaskId: tasks.create({ createdAt: now(), fileId, sessionId }).taskId };
    },

    DescribeTaskDetail({ TaskId: taskId }) {
      const task = tasks.find(taskId);
      if (!task) throw new ApiError('ResourceNotFound', 'TaskId: no such task.');
      return describeTask(task);
    },

    PullUpload(params) {
      const type = params.MediaType ?? /\.([a-z0-9]+)$/i.exec(new URL(params.MediaUrl).pathname)?.[1] ?? '';
      if (!isMediaType(type)) {
        throw new ApiError(
          'InvalidParameterValue.MediaType',
          'MediaType: expected one, or an extension in MediaUrl.',
        );
      }
      const pull = { url: params.MediaUrl, facts: readFacts(params, type) };
      const fileId = files.createFileId();
      const task = tasks.create({ createdAt: now(), fileId, sessionId: params.SessionId, pull });
      pulls.start(task);
      return { TaskId: task.taskId };
    },
  };

  async function commit(session: Session): Promise<void> {
    try {
      await library.commit(session);
    } catch (error) {
      if (!(error instanceof MediaNotUploaded)) throw error;
      throw new ApiError('ResourceNotFound', `VodSessionKey: ${error.message}.`, { cause: error });
    }
  }

  function readFacts(params: ApiParameters<'ApplyUpload' | 'PullUpload'>, type: string): MediaFacts {
    const [defaultRegion = ''] = settings.regions;
    const { StorageRegion: region = defaultRegion, Procedure: procedure, ExpireTime: expireTime } = params;
    if (!settings.regions.includes(region)) {
      throw new ApiError(
        'InvalidParameterValue.StorageRegion',
        `StorageRegion: ${region} is not opened for this account.`,
      );
    }
    if (procedure !== undefined && !settings.procedures.includes(procedure)) {
      throw new ApiError('InvalidParameterValue.Procedure', `Procedure: no procedure ${procedure}.`);
    }
    if (expireTime !== undefined) checkExpireTime(expireTime);
    return {
      name: params.MediaName ?? '',
      type,
      classId: params.ClassId ?? 0,
      region,
      procedure,
      expireTime,
      sourceContext: params.SourceContext,
      sessionContext: params.SessionContext,
    };
  }

  /** The time in ISO 8601, in the future. */
  function checkExpireTime(text: string): void {
    const isIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text);
    if (isIso && Date.parse(text) > now()) return;
    throw new ApiError(
      'InvalidParameterValue.ExpireTime',
      'ExpireTime: expected a time in the future, in ISO 8601.',
    );
  }

  function getVideo(fileId: string) {
    const video = files.getVideo(fileId);
    if (!video) throw new ApiError('ResourceNotFound', `FileId: no file ${fileId}.`);
    return video;
  }

  function urlOf(fileId: string): string {
    return files.link(getVideo(fileId)).url;
  }

  function describeCommitted({ fileId }: Session): ApiResult {
    const CoverUrl = files.findCoverUrl(fileId);
    return { FileId: fileId, MediaUrl: urlOf(fileId), ...(CoverUrl !== undefined && { CoverUrl }) };
  }

  function describeVideo(fileId: string): ApiResult {
    const video = getVideo(fileId);
    return {
      Name: video.fileName,
      Description: video.description ?? '',
      CreateTime: video.createdAt,
      ExpireTime: video.expireTime ?? '9999-12-31T23:59:59Z',
      ClassId: video.classId,
      CoverUrl: files.findCoverUrl(fileId) ?? '',
      Type: video.fileType,
      MediaUrl: urlOf(fileId),
      SourceInfo: { SourceType: 'Upload', SourceContext: video.sourceContext ?? '' },
      StorageRegion: video.storageRegion ?? '',
      StoragePath: video.storagePath ?? '',
      TagSet: video.tags,
      Status: 'Normal',
    };
  }

  function describeTask(task: Task): ApiResult {
    const { taskId: TaskId, fileId, sessionId, createdAt, pull, ended } = task;
    const status = tasks.statusOf(task, now());
    const isFinished = status === 'FINISH';
    const common = {
      TaskId,
      Status: status,
      SessionId: sessionId ?? '',
      SessionContext: pull?.facts.sessionContext ?? '',
    };
    const times = {
      CreateTime: new Date(createdAt).toISOString(),
      BeginProcessTime: new Date(createdAt).toISOString(),
      FinishTime: isFinished ? new Date(now()).toISOString() : '',
    };
    if (!pull) {
      const { sha1, md5 } = getVideo(fileId);
      return {
        TaskType: 'DescribeFileAttributes',
        Status: status,
        ...times,
        DescribeFileAttributesTask: {
          ...common,
          FileId: fileId,
          ErrCode: 0,
          Message: '',
          Progress: isFinished ? 100 : 0,
          Output: isFinished ? { Md5: md5 ?? '', Sha1: sha1 } : null,
        },
        PullUploadTask: null,
      };
    }
    const isStored = isFinished && ended?.errCode === 0;
    return {
      TaskType: 'PullUpload',
      Status: status,
      ...times,
      DescribeFileAttributesTask: null,
      PullUploadTask: {
        ...common,
        ErrCode: isFinished ? (ended?.errCode ?? 0) : 0,
        Message: isFinished ? (ended?.message ?? '') : '',
        FileId: isStored ? fileId : '',
        FileUrl: isStored ? urlOf(fileId) : '',
        MediaBasicInfo: isStored ? describeVideo(fileId) : null,
        MetaData: isStored ? { Size: getVideo(fileId).size } : null,
        Progress: isFinished ? 100 : 0,
      },
    };
  }
}

const SIGNATURES = [
  ['gif', '474946'],
  ['jpg', 'ffd8ff'],
  ['png', '89504e47'],
] as const;

/** Reads `CoverData`: base64 of a gif, jpeg, or png. */
function readCover(base64: string): Readonly<{ bytes: Buffer; type: string }> {
  const bytes = Buffer.from(base64, 'base64');
  const start = bytes.toString('hex', 0, 4);
  const type = SIGNATURES.find(([, signature]) => start.startsWith(signature))?.[0];
  const isCanonical = bytes.toString('base64') === base64;
  if (isCanonical && type !== undefined && bytes.length < MAX_COVER_BYTES) return { bytes, type };
  throw new ApiError(
    'InvalidParameterValue.CoverData',
    `CoverData: expected base64 of a gif, jpeg, or png of less than ${MAX_COVER_BYTES} bytes.`,
  );
}
