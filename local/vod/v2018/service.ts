import type { IncomingMessage, ServerResponse } from 'node:http';
import type { VodSecrets } from '../../../lib/config.ts';
import { openCosStore, startCos } from '../../cos/server.ts';
import type { FaultSelector } from '../../fault-injection.ts';
import type { NetworkLimits, NetworkSimulator } from '../../network-simulator.ts';
import type { FileStore } from '../file-store.ts';
import { type QuotaOptions, RequestLimit } from '../quota.ts';
import { createApiActions } from './actions.ts';
import { createApiHandler } from './http-handler.ts';
import { Library } from './library.ts';
import { Pulls } from './pull.ts';
import { COS_BUCKET, Sessions } from './sessions.ts';
import { Tasks } from './tasks.ts';

/** Options of the local VOD that only API 2018-07-17 has. */
export type ApiOptions = Readonly<{
  /** Receives the code of every error of API 2018-07-17, and '' for a success. */
  onApiResponse?: (code: string) => void;
  /** The port of COS. Default: any free port. */
  cosPort?: number;
  /** The uploads to a single object of COS within a second. Default: 50, or without `quota` any number. */
  uploadsPerObject?: number | false;
  /** Mandatory in every call of API 2018-07-17 if set. */
  subAppId?: number | undefined;
  /** The opened regions. The first is the default. Default: `ap-chongqing` and `ap-guangzhou`. */
  regions?: readonly string[];
  /** The procedures that ApplyUpload accepts. Default: `LongVideoPreset`. */
  procedures?: readonly string[];
  /** How long temporary keys live. Default: 2 h. `null`: ApplyUpload returns none. */
  keysLiveMs?: number | null;
  /** The result of CommitUpload for a committed session: an error, or the same FileId again. Default: `reject`. */
  repeatCommit?: 'reject' | 'same';
  /** The shortest duration of a task. Default: 200 ms. */
  taskMs?: number;
}>;

type ApiContext = ApiOptions &
  Readonly<{
    dir: string;
    secrets: VodSecrets | readonly VodSecrets[];
    files: FileStore;
    /** The network of the port that both APIs share. */
    simulator: NetworkSimulator;
    network?: NetworkLimits | undefined;
    faults?: FaultSelector | undefined;
    quota: QuotaOptions | false;
    discard: boolean;
    now: () => number;
  }>;

type RunningApi = Readonly<{
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  cosEndpoint: string;
  openUploads: () => readonly string[];
}>;

const KEYS_LIVE_MS = 2 * 3_600_000;

/** https://www.tencentcloud.com/document/product/436/14518 */
const UPLOADS_PER_OBJECT = 50;

/** Starts COS and creates the handler of API 2018-07-17. `resources` closes them. */
export async function startApi(context: ApiContext, resources: AsyncDisposableStack): Promise<RunningApi> {
  const { dir, secrets, files, simulator, network, faults, quota, discard, now } = context;
  const { regions = ['ap-chongqing', 'ap-guangzhou'], procedures = ['LongVideoPreset'] } = context;
  const { keysLiveMs = KEYS_LIVE_MS, repeatCommit = 'reject', taskMs = 200, cosPort = 0, subAppId } = context;
  const { onApiResponse = () => {} } = context;
  const sessions = new Sessions(`${dir}/sessions`);
  const objects = openCosStore(`${dir}/cos`, COS_BUCKET, { now, discard });
  const library = new Library(files, objects, { discard, now });
  library.sweep(sessions.all());
  const tasks = new Tasks(`${dir}/tasks`, taskMs);
  const pulls = new Pulls(tasks, library, () => files.save());
  resources.defer(() => pulls.close());
  const account = sessions.createCosAccount({
    findSecrets: (id) => [secrets].flat().find(({ secretId }) => secretId === id),
    isCommitted: (fileId) => files.hasVideo(fileId),
    regions,
    now,
  });
  const objectRate = chooseObjectRate(context);
  const cos = await startCos({ store: objects, account, port: cosPort, now, network, faults, objectRate });
  resources.defer(cos.close);
  const settings = { regions, procedures };
  const actions = createApiActions({
    ...{ files, sessions, library, tasks, pulls, settings, keysLiveMs, repeatCommit, now },
  });
  const limit = quota ? new RequestLimit(quota) : undefined;
  pulls.resume();
  return {
    handle: createApiHandler({
      ...{ actions, sessions, secrets, subAppId, limit, network: simulator, faults, now },
      onResponse: onApiResponse,
    }),
    cosEndpoint: cos.endpoint,
    openUploads: () => objects.uploads.listByBucket(COS_BUCKET).map(({ record }) => record.key),
  };
}

function chooseObjectRate({ quota, uploadsPerObject }: ApiContext) {
  const limit = uploadsPerObject ?? (quota ? UPLOADS_PER_OBJECT : false);
  return limit === false ? false : { limit, windowMs: quota ? quota.minuteMs / 60 : 1000 };
}
