import * as v from 'valibot';
import type { VodApiVersion } from '../config.ts';
import { type Clock, systemClock } from '../invocation/deadline.ts';

/**
 * Admits objects to the hash pass and to the sending of parts, so that only as many work as fill the quota. The others wait in
 * the state machine. docs/decisions/0013-admission.md has the reasons. Amounts are parts of 1 MiB.
 *
 * Each execution writes its own entry, and the response shows all entries. No process decides for another one, and nothing
 * is locked: an execution is admitted if the entries before its own leave space for it. The order is total, so the first entry
 * of a lane is always admitted.
 */

const PART_BYTES = 1_048_576;

/** The work of an execution: the hash pass, or sending the parts of a medium or a large object. */
export const Lane = v.picklist(['hash', 'medium', 'large']);
type Lane = v.InferOutput<typeof Lane>;

/**
 * `since`: when the execution first asked, its place in the order. `until`: end of its lease. An entry whose lease is over does
 * not count. `parts`: those that are left to hash or to send. Times are in milliseconds since 1970.
 */
export type AdmissionEntry = Readonly<{ since: number; until: number; parts: number; lane: Lane }>;
export type AdmissionEntries = ReadonlyMap<string, AdmissionEntry>;

export type AdmissionDecision = Readonly<{ admitted: true } | { admitted: false; waitMs: number }>;

export type AdmissionLimits = Readonly<{
  /** Larger objects need admission. Objects of this size that start at the full rate of InitUpload use half of the parts quota. */
  smallParts: number;
  /** Larger objects are in the lane `large`: each takes more than a minute of the whole quota. */
  mediumParts: number;
  /** Functions of one object that send parts concurrently: as many as fill the quota or the rate of one object. */
  partFunctions: number;
  /** Functions that send medium objects while no large object sends. */
  mediumFunctions: number;
  /** Hash passes that run concurrently: as many as read at the rate of the quota. */
  hashFunctions: number;
  /** The rate of the quota. */
  partsPerMs: number;
}>;

/** The rate of one function, with a margin: docs/explanation/performance.md. A faster one would only wait for the quota. */
const FUNCTION_PARTS_PER_MS = 0.045;

/** The share of the concurrent functions for sending parts, and for hash passes. The rest serves small objects. */
const FUNCTION_SHARE = 0.3;

/** VOD accepts at most 50 parts per second of one object, which so many functions send: docs/explanation/performance.md. */
const MAX_OBJECT_FUNCTIONS = 16;
/** The rate of one function that sends to COS: 75 MiB/s. */
const COS_PARTS_PER_MS = 0.075;

/** `maxFunctions`: those that the stack may run concurrently. */
type LimitSettings = Readonly<{
  callsPerMinute: number;
  partsPerMinute: number;
  maxFunctions: number;
  minuteMs: number;
}>;

const LIMITS: Readonly<Record<VodApiVersion, (settings: LimitSettings) => AdmissionLimits>> = {
  '2.0': ({ callsPerMinute, partsPerMinute, maxFunctions, minuteMs }) => {
    const partsPerMs = partsPerMinute / minuteMs;
    const needed = Math.ceil(partsPerMs / FUNCTION_PARTS_PER_MS);
    const functions = Math.max(1, Math.min(needed, Math.floor(maxFunctions * FUNCTION_SHARE)));
    return {
      smallParts: Math.floor(partsPerMinute / callsPerMinute / 2),
      mediumParts: partsPerMinute,
      partFunctions: functions,
      mediumFunctions: MEDIUM_FUNCTIONS * functions,
      hashFunctions: functions,
      partsPerMs,
    };
  },
  /** No quota of parts: the functions are the limit. */
  '2018-07-17': ({ maxFunctions }) => {
    const functions = Math.max(1, Math.floor(maxFunctions * FUNCTION_SHARE));
    return {
      smallParts: FUNCTION_PARTS,
      mediumParts: Number.POSITIVE_INFINITY,
      partFunctions: Math.min(MAX_OBJECT_FUNCTIONS, functions),
      mediumFunctions: functions,
      hashFunctions: functions,
      partsPerMs: functions * COS_PARTS_PER_MS,
    };
  },
};

/** @param api whose limits apply */
export const admissionLimits = ({
  api = '2.0',
  ...settings
}: LimitSettings & { api?: VodApiVersion }): AdmissionLimits => LIMITS[api](settings);

/** A lane has work for this time, so that the quota stays used while the next object starts. */
const LOOKAHEAD_MS = 10_000;
/**
 * The medium lane runs this many times the functions that fill the quota while no large object sends: between two objects, functions
 * are idle. With 3, ten objects of 1 GiB used 96 % of the quota and cost 1.5 times one alone; with 2, 85 % and 1.3 times.
 */
const MEDIUM_FUNCTIONS = 2;
/** The fewest parts that are worth a function: lib/upload/plan.ts. */
const FUNCTION_PARTS = 256;

const MIN_WAIT_MS = 5_000;
/** An execution that dies releases its place to one that returns within this time. */
const MAX_WAIT_MS = 600_000;

/**
 * Decides about one entry.
 * @param entries all entries, also this one
 */
export function decideAdmission(
  entries: AdmissionEntries,
  name: string,
  now: number,
  limits: AdmissionLimits,
): AdmissionDecision {
  const own = entries.get(name);
  if (!own) return { admitted: false, waitMs: MIN_WAIT_MS };
  const live = [...entries].filter(([other, { until }]) => other !== name && until > now);
  const ahead = live
    .filter(
      ([other, { lane, since }]) => lane === own.lane && (since - own.since || (other < name ? -1 : 1)) < 0,
    )
    .map(([, entry]) => entry)
    .sort((a, b) => a.since - b.since);
  const isLargeSending = live.some(([, { lane }]) => lane === 'large');
  const { partFunctions, mediumFunctions, hashFunctions, partsPerMs } = limits;
  switch (own.lane) {
    case 'hash':
      return waitFor(
        blockingParts(ahead, () => 1, hashFunctions),
        partsPerMs,
      );
    case 'large': {
      const excess = ahead.reduce((sum, { parts }) => sum + parts, 0) - LOOKAHEAD_MS * partsPerMs;
      return waitFor(excess < 0 ? undefined : excess, partsPerMs);
    }
    case 'medium': {
      const functionsOf = ({ parts }: AdmissionEntry): number =>
        Math.min(partFunctions, Math.max(1, Math.ceil(parts / FUNCTION_PARTS)));
      const space = isLargeSending ? partFunctions : mediumFunctions;
      return waitFor(blockingParts(ahead, functionsOf, space), isLargeSending ? partsPerMs / 2 : partsPerMs);
    }
  }
}

/** The parts that must be done before the entries ahead, in their order, need less than `space`. Undefined: they already do. */
function blockingParts(
  ahead: readonly AdmissionEntry[],
  sizeOf: (entry: AdmissionEntry) => number,
  space: number,
): number | undefined {
  let size = ahead.reduce((sum, entry) => sum + sizeOf(entry), 0);
  if (size < space) return undefined;
  let blocking = 0;
  for (const entry of ahead) {
    if (size < space) break;
    size -= sizeOf(entry);
    blocking += entry.parts;
  }
  return blocking;
}

const waitFor = (blocking: number | undefined, partsPerMs: number): AdmissionDecision =>
  blocking === undefined
    ? { admitted: true }
    : { admitted: false, waitMs: Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, blocking / partsPerMs)) };

/** Stores the entries (`admission-store.ts`). Throws as the quota table does. */
export type AdmissionStore = Readonly<{
  /** Writes an entry, removes others, and returns all. */
  put(name: string, entry: AdmissionEntry, removed: readonly string[]): Promise<AdmissionEntries>;
  /** Subtracts parts from an entry and extends its lease. Does nothing without the entry. */
  subtract(name: string, parts: number, until: number): Promise<void>;
  remove(name: string): Promise<void>;
  list(): Promise<AdmissionEntries>;
}>;

export type Admission = Readonly<{
  limits: AdmissionLimits;
  /** Whether an object of this size needs admission. */
  appliesTo(bytes: number): boolean;
  /**
   * Asks for admission to the hash pass or to the sending of parts, again after each wait.
   * @param since of the earlier decisions about this execution
   * @throws {QuotaExceeded} {InvalidSetting} as the table does
   */
  enter(
    name: string,
    work: Readonly<{ phase: 'hash' | 'send'; bytes: number; since?: number | undefined }>,
  ): Promise<AdmissionDecision & { since: number }>;
  /** Reports sent bytes, and extends the lease. */
  report(name: string, sentBytes: number): Promise<void>;
  /** Releases the place. */
  leave(name: string): Promise<void>;
  /** The number of executions that wait or work. */
  count(): Promise<number>;
}>;

/** An invocation lasts at most 15 minutes, and each one renews the lease. A retry can start 15 minutes after its failure. */
const LEASE_MS = 32 * 60_000;
/** An entry whose lease ended so long ago is removed. */
const RETENTION_MS = 3_600_000;

export function createAdmission({
  store,
  limits,
  clock = systemClock,
  random = Math.random,
}: Readonly<{
  store: AdmissionStore;
  limits: AdmissionLimits;
  clock?: Clock;
  random?: () => number;
}>): Admission {
  const laneOf = (parts: number): Lane => (parts > limits.mediumParts ? 'large' : 'medium');
  return {
    limits,
    appliesTo: (bytes) => bytes > limits.smallParts * PART_BYTES,
    async enter(name, { phase, bytes, since = clock.now() }) {
      const now = clock.now();
      const parts = Math.ceil(bytes / PART_BYTES);
      const lane = phase === 'hash' ? 'hash' : laneOf(parts);
      const entry = { since, until: now + LEASE_MS, parts, lane };
      let entries = await store.put(name, entry, []);
      const expired = [...entries]
        .filter(([, { until }]) => until + RETENTION_MS < now)
        .map(([other]) => other);
      if (expired.length > 0) entries = await store.put(name, entry, expired);
      const decision = decideAdmission(entries, name, now, limits);
      if (decision.admitted) return { ...decision, since };
      // Early rather than late: an early return waits again, and a late one leaves the quota unused.
      const waitMs = Math.max(MIN_WAIT_MS, decision.waitMs * (0.85 + 0.15 * random()));
      return { admitted: false, waitMs, since };
    },
    report: (name, sentBytes) =>
      store.subtract(name, Math.round(sentBytes / PART_BYTES), clock.now() + LEASE_MS),
    leave: (name) => store.remove(name),
    count: async () => {
      const now = clock.now();
      return [...(await store.list()).values()].filter(({ until }) => until > now).length;
    },
  };
}
