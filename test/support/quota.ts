import { createQuota, type Quota } from '../../lib/quota/quota.ts';

/** A quota so large that no test reaches it, with pauses of milliseconds. */
export const createAmpleQuota = (): Quota =>
  createQuota({ account: 'test', minuteMs: 100, callsPerMinute: 1_000_000, partsPerMinute: 1_000_000 });
