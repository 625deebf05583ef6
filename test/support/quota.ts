import { type Admission, admissionLimits, createAdmission } from '../../lib/quota/admission.ts';
import { createMemoryAdmissionStore } from '../../lib/quota/admission-store.ts';
import { createQuota, type Quota } from '../../lib/quota/quota.ts';

const AMPLE = { minuteMs: 100, secondMs: 20, callsPerMinute: 1_000_000, partsPerMinute: 1_000_000 };

/** A quota so large that no test reaches it, with pauses of milliseconds. */
export const createAmpleQuota = (): Quota => createQuota(AMPLE);

/** Admission in memory, with the limits of the default quota. */
export const createTestAdmission = (): Admission =>
  createAdmission({
    store: createMemoryAdmissionStore(),
    limits: admissionLimits({
      callsPerMinute: 100,
      partsPerMinute: 10_000,
      minuteMs: 60_000,
      maxFunctions: 1_000,
    }),
  });
