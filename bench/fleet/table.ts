import type { AdmissionStore } from '../../lib/quota/admission.ts';
import { createMemoryAdmissionStore } from '../../lib/quota/admission-store.ts';
import { createMemoryCounter, type WindowCounter } from '../../lib/quota/counter.ts';
import type { VirtualClock } from './clock.ts';
import { DYNAMODB } from './model.ts';

/** A write counts one unit per KB of the item, a read one per 4 KB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html */
const WRITE_UNIT_BYTES = 1024;
const READ_UNIT_BYTES = 4096;

/** An entry of the admission item: the name of an execution and four fields. */
const ENTRY_BYTES = 130;

export type TableUnits = { writes: number; reads: number };

/** The quota table in memory, with the latency of DynamoDB. All functions share it. */
export function createSharedTable(clock: VirtualClock): {
  counter: WindowCounter;
  store: AdmissionStore;
  units: TableUnits;
} {
  const units: TableUnits = { writes: 0, reads: 0 };
  const windows = createMemoryCounter(clock);
  const entries = createMemoryAdmissionStore();
  const write = async (bytes: number): Promise<void> => {
    await clock.sleep(DYNAMODB.latencyMs);
    units.writes += Math.max(1, Math.ceil(bytes / WRITE_UNIT_BYTES));
  };
  let size = 0;
  return {
    units,
    counter: {
      async add(window, calls) {
        await write(0);
        return windows.add(window, calls);
      },
      async pause(window, pausedUntil) {
        await write(0);
        return windows.pause(window, pausedUntil);
      },
    },
    store: {
      async put(name, entry, removed) {
        await write(size * ENTRY_BYTES);
        const all = await entries.put(name, entry, removed);
        size = all.size;
        return all;
      },
      async subtract(name, parts, until) {
        await write(size * ENTRY_BYTES);
        return entries.subtract(name, parts, until);
      },
      async remove(name) {
        await write(size * ENTRY_BYTES);
        return entries.remove(name);
      },
      async list() {
        await clock.sleep(DYNAMODB.latencyMs);
        units.reads += Math.max(1, Math.ceil((size * ENTRY_BYTES) / READ_UNIT_BYTES)) / 2; // eventually consistent
        return entries.list();
      },
    },
  };
}
