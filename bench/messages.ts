import type { NetworkLimits } from '../local/network-simulator.ts';

/** The messages between the bench and its processes, and what these processes share. Sizes in bytes, times in milliseconds. */

export const BUCKET = 'bench';
export const VOD_HOST = 'vod2.qcloud.com';
export const VOD_SECRETS = { secretId: 'local-id', secretKey: 'local-key' } as const;

export type ServiceOptions = Readonly<{
  kind: 's3' | 'vod';
  dir: string;
  network?: NetworkLimits;
  quota?: Readonly<{ minuteMs: number; parts?: number }> | false;
}>;

/** Counters of the service. `quotaErrors`: responses with code 4400. */
export type ServiceTally = Readonly<{ requests: Record<string, number>; quotaErrors: number; cpuMs: number }>;

export type FromService = { ready: string } | { event: unknown; id: number } | { tally: ServiceTally };
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
  | { job: 'upload'; event: unknown; s3: NetworkLimits; vod: Pick<ServiceOptions, 'network' | 'quota'> }
  /** Uploads with the baseline uploader. */
  | { job: 'baseline'; size: number; network: NetworkLimits };

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
