import type { NetworkLimits } from '../local/network-simulator.ts';

/** The messages between the bench and its processes, and what these processes share. Sizes in bytes, times in milliseconds. */

export const BUCKET = 'bench';
export const VOD_HOST = 'vod2.qcloud.com';
export const VOD_SECRETS = { secretId: 'local-id', secretKey: 'local-key' } as const;

export type Api = '2.0' | '2018-07-17';

export type ServiceOptions = Readonly<{
  kind: 's3' | 'vod';
  dir: string;
  network?: NetworkLimits;
  quota?: Readonly<{ minuteMs: number; parts?: number }> | false;
}>;

/**
 * Counters of the service. `quotaErrors`: responses with code 4400, or `RequestLimitExceeded`. `sentBytes`: on all connections,
 * with the headers.
 */
export type ServiceTally = Readonly<{
  requests: Record<string, number>;
  quotaErrors: number;
  sentBytes: number;
  cpuMs: number;
}>;

/** The addresses of a service. VOD has the second one. */
export type Endpoints = Readonly<{ endpoint: string; cosEndpoint?: string | undefined }>;

export type FromService = { ready: Endpoints } | { event: unknown; id: number } | { tally: ServiceTally };
export type ToService = { taken: number } | 'stop';

/** The work of one measuring process. */
export type Job =
  /** Creates an object from random bytes, or from ranges of the object `from`. Each range starts at 0. */
  | { job: 'put'; key: string; from: 'random' | string; ranges: readonly number[] }
  /** Runs Init up to its plan. */
  | { job: 'hash'; key: string; network: NetworkLimits }
  /** Pipes one GetObject to node:crypto. */
  | { job: 'stream'; key: string; network: NetworkLimits }
  /** Runs the pipeline from the event on. */
  | {
      job: 'upload';
      api: Api;
      event: unknown;
      s3: NetworkLimits;
      vod: Pick<ServiceOptions, 'network' | 'quota'>;
    }
  /** Uploads with the baseline uploader. */
  | { job: 'baseline'; size: number; network: NetworkLimits }
  /** Uploads with the vendor's SDK for COS. */
  | { job: 'cos-sdk'; size: number; network: NetworkLimits; upload: CosUpload };

/** A part size and a concurrency for the SDK. Its own defaults apply to what is not set. */
export type CosUpload = Readonly<{ partBytes?: number; partsInFlight?: number }>;

export type Amount = Readonly<{ bytes: number; ms: number }>;

export type Measurement = Amount &
  Readonly<{
    /** Memory of the process that ran the handlers. */
    peakRss: number;
    cpuMs: number;
    s3?: ServiceTally;
    vod?: ServiceTally;
    /** By function: the number of invocations and their total time. */
    invocations: Record<string, { count: number; ms: number }>;
    transitions: number;
    /** The outcome, or the error and its cause, of each execution. */
    outcomes: string[];
    /** From the plan to the response to the last part. */
    sending?: Amount;
    event?: unknown;
  }>;
