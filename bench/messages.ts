import type { NetworkLimits } from '../local/network-simulator.ts';
import type { ServiceOptions, ServiceTally } from './service.ts';

/** What one process measures. Sizes and offsets in bytes, times in milliseconds. */
export type Job =
  /** Makes an object: of random bytes, or of stretches of another one. */
  | { job: 'put'; key: string; from: 'random' | string; stretches: readonly number[] }
  /** Init, up to its plan. */
  | { job: 'hash'; key: string; network: NetworkLimits }
  /** One GetObject piped to node:crypto. */
  | { job: 'stream'; key: string; network: NetworkLimits }
  /** The whole chain, from the event on. */
  | { job: 'upload'; event: unknown; s3: NetworkLimits; vod: Pick<ServiceOptions, 'network' | 'quota'> }
  /** Parts of 512 KiB by six connections, each group waited for: what the service's own SDKs do. */
  | { job: 'barrier'; size: number; network: NetworkLimits };

export type Measured = Readonly<{
  bytes: number;
  ms: number;
  /** Of the process that ran the handlers. */
  peakRss: number;
  cpuMs: number;
  s3?: ServiceTally;
  vod?: ServiceTally;
  /** By function: how often it ran, and for how long altogether. */
  invocations: Record<string, { count: number; ms: number }>;
  transitions: number;
  /** How the executions ended. */
  ends: string[];
  /** From the plan to the last part's reply. */
  sending?: { bytes: number; ms: number };
  hashing?: { bytes: number; ms: number };
  event?: unknown;
}>;

export const BUCKET = 'bench';
