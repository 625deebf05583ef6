import { afterAll, beforeAll, expect, test } from 'vitest';
import { hurryAll } from './hurry.ts';
import type { Deed, Incident, Plan } from './plan.ts';
import { openWorld, type World } from './world.ts';

/** What the simulation has found, each as the least plan that broke a promise. docs/explanation/reliability.md tells of them. */

let world: World | undefined;
let restore = (): void => {};
beforeAll(async () => {
  restore = hurryAll();
  world = await openWorld();
});
afterAll(async () => {
  await world?.close();
  restore();
});

const s3 = (call: string, nth = 0) => ({ service: 's3' as const, call, nth });
const MIB = 1024 * 1024;

const plan = (incidents: readonly Incident[], more: Partial<Plan> = {}): Plan => ({
  objects: [{ size: 700, sameAsFirst: false, resumed: false }],
  images: [],
  versioned: false,
  writeBack: 'metadata',
  clockOff: false,
  incidents,
  deliveries: [],
  ...more,
});
const large: Partial<Plan> = { objects: [{ size: 5 * MIB + 1, sameAsFirst: false, resumed: false }] };

const deed = (at: ReturnType<typeof s3>, what: Deed): Incident => ({
  ...at,
  kind: 'deed',
  deed: what,
  object: 0,
});
const lost = (call: string): Incident => ({ ...s3(call), kind: 'fault', fault: 'lost-response', times: 1 });

test.each<[string, Plan]>([
  ['put again with other metadata just before the copy', plan([deed(s3('CopyObject'), 'again')])],
  ['its metadata edited just before the copy', plan([deed(s3('CopyObject'), 'edit')])],
  ['the same, with versions', plan([deed(s3('CopyObject'), 'edit')], { versioned: true })],
  ['edited while a copy in parts is made', plan([deed(s3('UploadPartCopy'), 'edit')], large)],
  ['put again while a copy in parts is made', plan([deed(s3('UploadPartCopy'), 'again')], large)],
  ['tagged while a copy in parts is made', plan([deed(s3('UploadPartCopy'), 'tag')], large)],
])('the same bytes, %s: what was written stays', async (_, broke) => {
  await world?.live(broke);
});

test('the clock is put right while a function is warm: its next request is not refused for good', async () => {
  const told = await world?.live(plan([], { clockOff: true }));
  expect(told).toMatchObject({ failed: 1 });
});

test.each<[string, Partial<Plan>]>([
  ['CopyObject', {}],
  ['CompleteMultipartUpload', large],
])('a %s whose reply is lost is not done twice', async (call, more) => {
  const told = await world?.live(plan([lost(call)], { ...more, versioned: true }));
  expect(told).toMatchObject({ failed: 0, versions: 2 });
});
