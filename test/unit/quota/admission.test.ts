import fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  type Admission,
  type AdmissionEntries,
  type AdmissionEntry,
  type AdmissionStore,
  admissionLimits,
  createAdmission,
  decideAdmission,
} from '../../../lib/quota/admission.ts';
import { createMemoryAdmissionStore, createTableAdmissionStore } from '../../../lib/quota/admission-store.ts';
import { connectTable } from '../../../lib/quota/table.ts';
import { startQuotaTable } from '../../support/dynamo.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { MIB } from '../../support/values.ts';

useCredentials();

const NOW = 1_800_000_000_000;
const QUOTA = { callsPerMinute: 100, partsPerMinute: 10_000, minuteMs: 60_000 };
const LIMITS = admissionLimits({ ...QUOTA, maxFunctions: 1_000 });

const entry = (values: Partial<AdmissionEntry>): AdmissionEntry => ({
  since: NOW,
  until: NOW + 60_000,
  parts: 1_000,
  lane: 'medium',
  ...values,
});
const large = (since: number, parts = 200_000): AdmissionEntry => entry({ lane: 'large', since, parts });
const decide = (entries: Record<string, AdmissionEntry>, name: string) =>
  decideAdmission(new Map(Object.entries(entries)), name, NOW, LIMITS);

describe('admissionLimits', () => {
  test('lets four functions fill the default quota', () => {
    expect(LIMITS).toMatchObject({ smallParts: 50, mediumParts: 10_000, partFunctions: 4, hashFunctions: 4 });
  });

  test.each([
    [1, 1],
    [10, 3],
    [20, 4],
  ])('leaves most of %i functions to small objects', (maxFunctions, partFunctions) => {
    expect(admissionLimits({ ...QUOTA, maxFunctions })).toMatchObject({ partFunctions });
  });
});

describe('admissionLimits of API 2018-07-17', () => {
  test.each([
    [1, 1, 1],
    [1_000, 16, 300],
  ])('give objects a share of %i functions', (maxFunctions, partFunctions, mediumFunctions) => {
    const limits = admissionLimits({ ...QUOTA, api: '2018-07-17', maxFunctions });
    expect(limits).toMatchObject({ partFunctions, mediumFunctions, mediumParts: Number.POSITIVE_INFINITY });
  });
});

describe('decideAdmission', () => {
  test('admits the next large object when the work before it lasts ten seconds', () => {
    expect(decide({ a: large(1), b: large(2) }, 'a')).toEqual({ admitted: true });
    expect(decide({ a: large(1), b: large(2) }, 'b')).toEqual({ admitted: false, waitMs: 600_000 });
    const later = { admitted: false, waitMs: expect.closeTo(56_000, 3) };
    expect(decide({ a: large(1, 11_000), b: large(2) }, 'b')).toEqual(later);
    expect(decide({ a: large(1, 1_600), b: large(2) }, 'b')).toEqual({ admitted: true });
  });

  test('sends medium objects next to a large one, in as many functions', () => {
    const four = Object.fromEntries(
      ['a', 'b', 'c', 'd'].map((name, n) => [name, entry({ since: n, parts: 200 })]),
    );
    expect(decide({ ...four, me: entry({}) }, 'me')).toEqual({ admitted: true });
    const next = decide({ ...four, me: entry({}), big: large(NOW + 1) }, 'me');
    expect(next).toEqual({ admitted: false, waitMs: 5_000 });
    expect(decide({ ...four, big: large(0) }, 'd')).toEqual({ admitted: true });
  });

  test('runs four hash passes', () => {
    const hashing = Object.fromEntries(
      ['a', 'b', 'c', 'd', 'e'].map((name, n) => [name, entry({ since: n, lane: 'hash', parts: 100_000 })]),
    );
    expect(decide(hashing, 'd')).toEqual({ admitted: true });
    expect(decide(hashing, 'e')).toMatchObject({ admitted: false });
  });

  test('does not count entries whose lease is over', () => {
    expect(decide({ dead: { ...large(1), until: NOW }, b: large(2) }, 'b')).toEqual({ admitted: true });
  });

  test('orders executions that asked in the same millisecond by name', () => {
    expect(decide({ b: large(1), a: large(1) }, 'a')).toEqual({ admitted: true });
    expect(decide({ b: large(1), a: large(1) }, 'b')).toMatchObject({ admitted: false });
  });

  test('always admits the first entry of each lane, and never waits for more than ten minutes', () => {
    const entries = fc.array(
      fc.record({
        since: fc.nat(10),
        until: fc.integer({ min: NOW - 5, max: NOW + 5 }),
        parts: fc.integer({ min: -100, max: 10_000_000 }),
        lane: fc.constantFrom('hash', 'medium', 'large'),
      }),
      { minLength: 1, maxLength: 30 },
    );
    fc.assert(
      fc.property(entries, fc.integer({ min: 1, max: 1_000 }), (list, maxFunctions) => {
        const limits = admissionLimits({ ...QUOTA, maxFunctions });
        const all: AdmissionEntries = new Map(list.map((value, n) => [`execution-${n}`, value]));
        const live = [...all].filter(([, { until }]) => until > NOW);
        const decisions = live.map(([name, { lane }]) => ({
          lane,
          ...decideAdmission(all, name, NOW, limits),
        }));
        for (const lane of new Set(live.map(([, value]) => value.lane)))
          expect(decisions.some((decision) => decision.lane === lane && decision.admitted)).toBe(true);
        for (const decision of decisions)
          if (!decision.admitted) expect(decision.waitMs).toBeLessThanOrEqual(600_000);
      }),
    );
  });
});

describe.each<[string, () => Promise<AdmissionStore>]>([
  ['memory', async () => createMemoryAdmissionStore()],
  [
    'the quota table',
    async () => {
      const { location } = await startQuotaTable();
      const table = connectTable('quota', location);
      onTestFinished(table.close);
      return createTableAdmissionStore(table);
    },
  ],
])('admission with entries in %s', (_, createStore) => {
  const time = { now: NOW };
  beforeEach(() => {
    time.now = NOW;
  });
  const clock = { now: () => time.now, sleep: () => Promise.resolve() };
  const create = (store: AdmissionStore): Admission =>
    createAdmission({ store, limits: LIMITS, clock, random: () => 0.999 });
  const bytes = 20_000 * MIB;
  const send = { phase: 'send', bytes, since: NOW } as const;

  test('admits one large object, and the next one when the first reports its parts', async () => {
    const admission = create(await createStore());
    expect(await admission.count()).toBe(0);
    expect(await admission.enter('a', { phase: 'send', bytes })).toEqual({ admitted: true, since: NOW });
    time.now += 5;
    const waiting = await admission.enter('b', { phase: 'send', bytes });
    expect(waiting).toMatchObject({ admitted: false, since: NOW + 5, waitMs: expect.closeTo(110_000, -3) });
    expect(await admission.count()).toBe(2);
    await Promise.all(Array.from({ length: 10 }, () => admission.report('a', 1_900 * MIB)));
    time.now += 60_000;
    const next = await admission.enter('b', { phase: 'send', bytes, since: waiting.since });
    expect(next.admitted).toBe(true);
  });

  test('admits the next one when an execution leaves, or when its lease is over', async () => {
    const admission = create(await createStore());
    for (const name of ['a', 'b', 'c']) await admission.enter(name, send);
    await admission.leave('a');
    expect(await admission.enter('b', send)).toMatchObject({ admitted: true });
    time.now += 33 * 60_000;
    expect(await admission.enter('c', send)).toMatchObject({ admitted: true });
    time.now += 2 * 3_600_000;
    await admission.enter('d', { phase: 'send', bytes });
    expect(await admission.count()).toBe(1);
  });

  test('counts no fewer than zero parts when parts are sent again', async () => {
    const admission = create(await createStore());
    for (const name of ['a', 'b', 'c']) await admission.enter(name, { phase: 'send', bytes, since: NOW });
    await admission.report('a', 30_000 * MIB);
    const last = await admission.enter('c', { phase: 'send', bytes, since: NOW });
    expect(last).toMatchObject({ admitted: false, waitMs: expect.closeTo(110_000, -3) });
  });

  test('ignores reports and departures of an execution without an entry', async () => {
    const admission = create(await createStore());
    await admission.report('unknown', 5 * MIB);
    await admission.leave('unknown');
    expect(await admission.count()).toBe(0);
  });

  test('moves an entry from the hash pass to the sending', async () => {
    const admission = create(await createStore());
    const hash = { ...send, phase: 'hash' } as const;
    for (const name of ['a', 'b', 'c', 'd']) await admission.enter(name, hash);
    expect(await admission.enter('e', hash)).toMatchObject({ admitted: false });
    expect(await admission.enter('a', send)).toMatchObject({ admitted: true });
    expect(await admission.enter('e', hash)).toMatchObject({ admitted: true });
  });

  test('applies to objects of more than 50 MiB', async () => {
    const admission = create(await createStore());
    expect([50 * MIB, 50 * MIB + 1].map(admission.appliesTo)).toEqual([false, true]);
  });
});

test('a missing table is an invalid setting', async () => {
  const { location } = await startQuotaTable();
  const table = connectTable('missing', location);
  onTestFinished(table.close);
  const admission = createAdmission({ store: createTableAdmissionStore(table), limits: LIMITS });
  const message = /^quota table missing: not found/;
  await expectFailure(admission.enter('a', { phase: 'send', bytes: 1 }), 'InvalidSetting', message);
  await expectFailure(admission.count(), 'InvalidSetting', message);
});
