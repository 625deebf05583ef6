import * as v from 'valibot';
import { type AdmissionEntries, type AdmissionEntry, type AdmissionStore, Lane } from './admission.ts';
import { type Attribute, isConditionFailed, NumberAttribute, type QuotaTable } from './table.ts';

/** Stores the entries of the admission: in the memory of one process, or in the quota table. */

export function createMemoryAdmissionStore(): AdmissionStore {
  const entries = new Map<string, AdmissionEntry>();
  return {
    async put(name, entry, removed) {
      entries.set(name, entry);
      for (const other of removed) entries.delete(other);
      return new Map(entries);
    },
    async subtract(name, parts, until) {
      const entry = entries.get(name);
      if (entry) entries.set(name, { ...entry, parts: Math.max(0, entry.parts - parts), until });
    },
    remove: async (name) => void entries.delete(name),
    list: async () => new Map(entries),
  };
}

/** The item with all entries. Each entry is an attribute, named after the execution. */
const ITEM = 'admission';
const PREFIX = 'execution ';

const EntryAttribute = v.pipe(
  v.object({
    M: v.object({
      since: NumberAttribute,
      until: NumberAttribute,
      // A part that is sent again is subtracted twice.
      parts: v.pipe(
        NumberAttribute,
        v.transform((parts) => Math.max(0, parts)),
      ),
      lane: v.pipe(
        v.object({ S: Lane }),
        v.transform(({ S }) => S),
      ),
    }),
  }),
  v.transform(({ M }) => M),
);

const toAttribute = ({ since, until, parts, lane }: AdmissionEntry): Attribute => ({
  M: {
    since: { N: String(since) },
    until: { N: String(until) },
    parts: { N: String(parts) },
    lane: { S: lane },
  },
});

/** Attributes that are not entries are ignored. */
const Entries = v.pipe(
  v.record(v.string(), v.unknown()),
  v.transform(
    (attributes): AdmissionEntries =>
      new Map(
        Object.entries(attributes).flatMap(([name, value]) =>
          name.startsWith(PREFIX) && v.is(EntryAttribute, value)
            ? [[name.slice(PREFIX.length), v.parse(EntryAttribute, value)]]
            : [],
        ),
      ),
  ),
);

/** One item holds all entries, so one write shows them all. 1,000 entries are about 130 KB; an item can have 400 KB. */
export function createTableAdmissionStore(table: QuotaTable): AdmissionStore {
  const nameOf = (name: string): string => PREFIX + name;
  return {
    async put(name, entry, removed) {
      const names = Object.fromEntries(removed.map((other, n) => [`#removed${n}`, nameOf(other)]));
      const remove = removed.length > 0 ? ` REMOVE ${Object.keys(names).join(', ')}` : '';
      const { Attributes } = await table.update(
        ITEM,
        `SET #own = :entry${remove}`,
        { ':entry': toAttribute(entry) },
        v.object({ Attributes: Entries }),
        { names: { '#own': nameOf(name), ...names } },
      );
      return Attributes;
    },
    async subtract(name, parts, until) {
      const values = { ':until': { N: String(until) }, ':minus': { N: String(-parts) } };
      const names = { '#own': nameOf(name), '#until': 'until', '#parts': 'parts' };
      const expression = 'SET #own.#until = :until ADD #own.#parts :minus';
      const options = { names, condition: 'attribute_exists(#own)' };
      await table.update(ITEM, expression, values, v.unknown(), options).catch((error: unknown) => {
        if (!isConditionFailed(error)) throw error;
      });
    },
    async remove(name) {
      await table.update(ITEM, 'REMOVE #own', {}, v.unknown(), { names: { '#own': nameOf(name) } });
    },
    list: async () => (await table.read(ITEM, v.object({ Item: v.optional(Entries, {}) }))).Item,
  };
}
