import { createQuota, type Quota } from '../../lib/quota/quota.ts';

/** A quota that nobody notices, and whose pauses are over at once. */
export const plentiful = (): Quota =>
  createQuota({ account: 'test', minuteMs: 100, callsPerMinute: 1_000_000, partsPerMinute: 1_000_000 });
