import { QuotaExceeded, UploadNotFound, VodUnavailable } from '../../lib/errors.ts';
import type { ApiModel } from './api.ts';
import type { VirtualClock } from './clock.ts';
import { VOD } from './model.ts';

export type CountedCall = 'InitUpload' | 'FinishUpload' | 'UploadPart';

/** Code 4400: the calls of the last minute use the quota up. */
export class VodQuotaExceeded extends QuotaExceeded {}

/** Created once: thousands of stack traces would take most of the time of a simulated outage. */
const NO_RESPONSE = new VodUnavailable('VOD did not respond.');
const QUOTA_USED_UP = new VodQuotaExceeded('code 4400');

/** The times between which VOD does not respond. */
export type Outage = Readonly<{ from: number; until: number }>;

/** Each call throws {VodUnavailable} during an outage, {VodQuotaExceeded}, or {UploadNotFound} when VOD lacks parts. */
export type Vod = Readonly<{
  /** Opens an upload, or continues it. Returns the parts that VOD holds: part n at index n is 1. */
  initUpload(id: string, parts: number): Promise<Uint8Array>;
  /** @param workMs the time that the sender needs for the bytes */
  uploadPart(id: string, part: number, workMs: number): Promise<void>;
  finishUpload(id: string): Promise<void>;
  /** Counters. `tries`: calls that arrived. `rejected`: of these, with code 4400. `resent`: parts that VOD held already. */
  tries: Record<CountedCall, number>;
  rejected: Record<CountedCall, number>;
  resentParts(): number;
}>;

/**
 * VOD with the quota of an account, which counts a sliding minute and forgives nothing.
 * @param neighbourShare the share of the quota that another user takes at a steady rate
 */
export function createVod(
  clock: VirtualClock,
  random: () => number,
  {
    quota: { callsPerMinute, partsPerMinute },
    latencyMs = VOD.latencyMs,
    outage,
    neighbourShare = 0,
  }: Readonly<{
    quota: ApiModel['quota'];
    latencyMs?: number | undefined;
    outage?: Outage | undefined;
    neighbourShare?: number | undefined;
  }>,
): Vod {
  const tries = { InitUpload: 0, FinishUpload: 0, UploadPart: 0 };
  const rejected = { InitUpload: 0, FinishUpload: 0, UploadPart: 0 };
  const createLimit = (perMinute: number): (() => boolean) =>
    createSlidingLimit(clock, perMinute, perMinute * neighbourShare);
  const limits: Record<CountedCall, () => boolean> = {
    InitUpload: createLimit(callsPerMinute),
    FinishUpload: createLimit(callsPerMinute),
    UploadPart: createLimit(partsPerMinute),
  };
  const uploads = new Map<string, Uint8Array>();
  let resentParts = 0;

  /** Half of the latency, the call, and the other half. */
  async function receive(call: CountedCall, workMs = 0): Promise<void> {
    if (outage && clock.now() >= outage.from && clock.now() < outage.until) {
      await clock.sleep(VOD.goneMs);
      throw NO_RESPONSE;
    }
    const latency = latencyMs * (1 + VOD.latencySpread * (2 * random() - 1));
    await clock.sleep(latency + workMs);
    tries[call]++;
    if (limits[call]()) return;
    rejected[call]++;
    throw QUOTA_USED_UP;
  }

  return {
    tries,
    rejected,
    resentParts: () => resentParts,
    async initUpload(id, parts) {
      await receive('InitUpload');
      const held = uploads.get(id) ?? new Uint8Array(parts);
      uploads.set(id, held);
      return held.slice();
    },
    async uploadPart(id, part, workMs) {
      await receive('UploadPart', workMs);
      const held = uploads.get(id);
      if (!held) throw new UploadNotFound(`UploadPart ${id}: the upload is not open.`);
      if (held[part]) resentParts++;
      held[part] = 1;
    },
    async finishUpload(id) {
      await receive('FinishUpload', VOD.finishMs);
      if (!uploads.get(id)?.every((flag) => flag === 1))
        throw new UploadNotFound(`FinishUpload ${id}: parts are missing.`);
    },
  };
}

/** Returns a function that counts a call, unless the calls of the last minute use the quota up. */
function createSlidingLimit(clock: VirtualClock, perMinute: number, reserved: number): () => boolean {
  /** Calls that share a tick of the clock are one entry. Entries before `first` are older than a minute. */
  const entries: { time: number; calls: number }[] = [];
  let [first, calls] = [0, 0];
  return () => {
    const now = clock.now();
    for (let entry = entries[first]; entry && entry.time <= now - 60_000; entry = entries[first]) {
      calls -= entry.calls;
      first++;
    }
    if (first > 10_000) {
      entries.splice(0, first);
      first = 0;
    }
    if (calls + reserved >= perMinute) return false;
    calls++;
    const last = entries.at(-1);
    if (last?.time === now) last.calls++;
    else entries.push({ time: now, calls: 1 });
    return true;
  };
}
