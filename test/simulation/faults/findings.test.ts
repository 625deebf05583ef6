import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MIB } from '../../support/values.ts';
import { accelerateTimers } from './accelerate-timers.ts';
import type { ConcurrentWrite, Incident, Plan } from './plan.ts';
import { startWorld, type World } from './world.ts';

/** The smallest plans that violated an invariant, as the simulation found them. See docs/explanation/reliability.md. */

let world: World | undefined;
let restore = (): void => {};
beforeAll(async () => {
  restore = accelerateTimers();
  world = await startWorld(false);
});
afterAll(async () => {
  await world?.close();
  restore();
});

const createPlan = (incidents: readonly Incident[], more: Partial<Plan> = {}): Plan => ({
  objects: [{ size: 700, sameAsFirst: false, resumed: false, annotated: false }],
  images: [],
  versioned: false,
  writeBack: 'metadata',
  ignorant: false,
  clockOff: false,
  incidents,
  deliveries: [],
  ...more,
});
const large: Partial<Plan> = {
  objects: [{ size: 5 * MIB + 1, sameAsFirst: false, resumed: false, annotated: false }],
};

const writeAt = (call: string, write: ConcurrentWrite): Incident => ({
  ...{ service: 's3', call, nth: 0 },
  ...{ kind: 'write', write, object: 0 },
});

describe('the write-back keeps the other client’s write when the same bytes are', () => {
  test.each<[string, Plan]>([
    ['put with other metadata just before the copy', createPlan([writeAt('CopyObject', 'again')])],
    ['edited just before the copy', createPlan([writeAt('CopyObject', 'edit')])],
    ['edited in a versioned bucket', createPlan([writeAt('CopyObject', 'edit')], { versioned: true })],
    ['edited during a copy in parts', createPlan([writeAt('UploadPartCopy', 'edit')], large)],
    ['put again during a copy in parts', createPlan([writeAt('UploadPartCopy', 'again')], large)],
    ['tagged during a copy in parts', createPlan([writeAt('UploadPartCopy', 'tag')], large)],
    ['annotated just before the copy', createPlan([writeAt('CopyObject', 'annotate')])],
    ['annotated during a copy in parts', createPlan([writeAt('UploadPartCopy', 'annotate')], large)],
  ])('%s', async (_, plan) => {
    await world?.run(plan);
  });
});

test('a warm function recovers after its clock is corrected', async () => {
  expect(await world?.run(createPlan([], { clockOff: true }))).toMatchObject({ failed: 1 });
});

test.each<[string, Partial<Plan>]>([
  ['CopyObject', {}],
  ['CompleteMultipartUpload', large],
])('%s is not repeated when its response is lost', async (call, more) => {
  const lost: Incident = { service: 's3', call, nth: 0, kind: 'fault', fault: 'lost-response', times: 1 };
  const summary = await world?.run(createPlan([lost], { ...more, versioned: true }));
  expect(summary).toMatchObject({ failed: 0, versions: 2 });
});
