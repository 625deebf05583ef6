import type { QuotaSettings } from '../config.ts';
import { type Admission, admissionLimits, createAdmission } from './admission.ts';
import { createMemoryAdmissionStore, createTableAdmissionStore } from './admission-store.ts';
import { createTableCounter } from './counter.ts';
import { createQuota, type Quota } from './quota.ts';
import { connectTable } from './table.ts';

/** The quota and the admission of one process. Without a table, the process is on its own. */
export function openQuota(
  settings: QuotaSettings,
  { maxWaitMs }: { maxWaitMs?: number } = {},
): Readonly<{ quota: Quota; admission: Admission; close: () => void }> {
  const table = settings.table === undefined ? undefined : connectTable(settings.table, settings);
  const quota = createQuota({
    ...settings,
    ...(maxWaitMs !== undefined && { maxWaitMs }),
    ...(table && { counter: createTableCounter(table) }),
  });
  const store = table ? createTableAdmissionStore(table) : createMemoryAdmissionStore();
  const admission = createAdmission({ store, limits: admissionLimits(settings) });
  return { quota, admission, close: () => table?.close() };
}
