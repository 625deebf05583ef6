import fc from 'fast-check';
import type { WriteBackSettings } from '../../../lib/config.ts';
import {
  type Fault,
  type FaultyService,
  listFaults,
  PIPELINE_CALLS,
  type ServiceCall,
} from '../../../local/fault-injection.ts';
import { KIB, MIB } from '../../support/values.ts';

/** The plan of one simulated world and of everything that goes wrong in it. fast-check generates and shrinks it. */

/**
 * `sameAsFirst`: the object has the bytes of the first object. `resumed`: an earlier upload in parts of 512 KiB sent the first part.
 * `annotated`: its writer adds an annotation.
 */
export type ObjectPlan = Readonly<{
  size: number;
  sameAsFirst: boolean;
  resumed: boolean;
  annotated: boolean;
}>;

const CALLS_WITH_IMAGES = [
  'InitUpload',
  'UploadPart',
  'FinishUpload',
  'CopyObject',
  'ListObjectsV2',
] as const;

/** When an image is put: before the videos, with them, after everything else, or at the first request of a call. */
export type ImageTime = 'before' | 'with' | 'after' | (typeof CALLS_WITH_IMAGES)[number];

/** `of`: the index of the video. `named`: the image names it in `vod-cover-of`; otherwise they share the name. */
export type ImagePlan = Readonly<{ of: number; named: boolean; sameAsFirst: boolean; when: ImageTime }>;

/**
 * A change that another client makes to an object. `overwrite`: put other bytes. `carry`: put other bytes with the old metadata, including the
 * marker. `again`: put the same bytes with other metadata. `edit`: change the metadata. `tag`: add a tag. `annotate`: write an annotation.
 * `delete`.
 */
export const CONCURRENT_WRITES = [
  'overwrite',
  'carry',
  'again',
  'edit',
  'tag',
  'annotate',
  'delete',
] as const;
export type ConcurrentWrite = (typeof CONCURRENT_WRITES)[number];

/**
 * A disruption of the pipeline itself. `kill`: all running invocations end. `shorten`: later invocations get a short time limit.
 * `repeat`: all events are delivered again.
 */
export const DISRUPTIONS = ['kill', 'shorten', 'repeat'] as const;
export type Disruption = (typeof DISRUPTIONS)[number];

/** Happens when the `nth` request of the call arrives, before the service processes it. */
export type Incident = Readonly<{ service: FaultyService; call: string; nth: number }> &
  (
    | Readonly<{ kind: 'fault'; fault: Fault; times: number }>
    | Readonly<{ kind: 'write'; write: ConcurrentWrite; object: number }>
    | Readonly<{ kind: 'disruption'; disruption: Disruption }>
  );

/** How the n-th event is delivered: once, twice, or after the next event. */
export type Delivery = 'once' | 'twice' | 'late';

export type Plan = Readonly<{
  objects: readonly ObjectPlan[];
  images: readonly ImagePlan[];
  versioned: boolean;
  writeBack: WriteBackSettings['mode'];
  /** Whether the store ignores conditions and tags of copies, as radosgw does. */
  ignorant: boolean;
  /** Whether the services' clock is three hours ahead of the pipeline's. */
  clockOff: boolean;
  incidents: readonly Incident[];
  deliveries: readonly Delivery[];
}>;

/** The write-back copies objects over 5 MiB in parts. */
export const MAX_COPY_BYTES = 5 * MIB;

const size = weighted(
  [10, fc.constantFrom(1, 700)],
  [12, fc.constantFrom(600 * KIB, 1100 * KIB)],
  [1, fc.constant(MAX_COPY_BYTES + 1)],
);
const rarely = weighted([4, fc.constant(false)], [1, fc.constant(true)]);
const object: fc.Arbitrary<ObjectPlan> = fc.record({
  size,
  sameAsFirst: rarely,
  resumed: rarely,
  annotated: rarely,
});
const image: fc.Arbitrary<ImagePlan> = fc.record({
  of: fc.nat(1),
  named: rarely,
  sameAsFirst: rarely,
  when: fc.constantFrom<ImageTime>('before', 'with', 'after', ...CALLS_WITH_IMAGES),
});

const s3 = (calls: readonly string[]) => calls.map((call) => ({ service: 's3' as const, call }));
const vod = (calls: readonly string[]) => calls.map((call) => ({ service: 'vod' as const, call }));

/** Most incidents happen at few calls, and early. */
const call = weighted<ServiceCall>(
  [4, fc.constantFrom(...vod(['InitUpload', 'UploadPart', 'FinishUpload']))],
  [4, fc.constantFrom(...s3(['HeadObject', 'GetObject', 'CopyObject', 'GetObjectAcl']))],
  [2, fc.constantFrom(...vod(['SmallFileUpload']), ...s3(['ListObjectsV2']))],
  [1, fc.constantFrom(...s3(PIPELINE_CALLS.s3))],
);
const nth = weighted([5, fc.constant(0)], [3, fc.constant(1)], [2, fc.integer({ min: 2, max: 6 })]);

/** The pipeline makes 5 attempts of a call, and 35 with the retries of the state machine. */
const times = weighted(
  [10, fc.integer({ min: 1, max: 2 })],
  [3, fc.integer({ min: 3, max: 7 })],
  [1, fc.constant(40)],
);

const incident: fc.Arbitrary<Incident> = fc.tuple(call, nth).chain(([serviceCall, at]) => {
  const faults = fc.record({ fault: fc.constantFrom(...listFaults(serviceCall)), times });
  const writes = fc.record({ write: fc.constantFrom(...CONCURRENT_WRITES), object: fc.nat(3) });
  const moment = { ...serviceCall, nth: at };
  return weighted<Incident>(
    [5, faults.map((fault) => ({ ...moment, kind: 'fault', ...fault }))],
    [3, writes.map((write) => ({ ...moment, kind: 'write', ...write }))],
    [2, fc.constantFrom(...DISRUPTIONS).map((disruption) => ({ ...moment, kind: 'disruption', disruption }))],
  );
});

export const plans: fc.Arbitrary<Plan> = fc.record({
  objects: weighted(
    [3, fc.array(object, { minLength: 1, maxLength: 1 })],
    [1, fc.array(object, { minLength: 2, maxLength: 3 })],
  ),
  images: weighted<readonly ImagePlan[]>(
    [3, fc.constant<ImagePlan[]>([])],
    [2, fc.array(image, { minLength: 1, maxLength: 1 })],
    [1, fc.array(image, { minLength: 2, maxLength: 2 })],
  ),
  versioned: fc.boolean(),
  writeBack: weighted<Plan['writeBack']>(
    [1, fc.constant('metadata')],
    [1, fc.constantFrom('annotation', 'tags', 'auto')],
  ),
  ignorant: weighted([12, fc.constant(false)], [1, fc.constant(true)]),
  clockOff: weighted([40, fc.constant(false)], [1, fc.constant(true)]),
  incidents: fc.array(incident, { maxLength: 5 }),
  deliveries: fc.array(fc.constantFrom<Delivery>('once', 'once', 'twice', 'late'), { maxLength: 4 }),
});

/** Each fault of each call alone. SmallFileUpload is called both when the video looks for its image and the other way round. */
export const everyFault: readonly Plan[] = [...s3(PIPELINE_CALLS.s3), ...vod(PIPELINE_CALLS.vod)].flatMap(
  (serviceCall) => {
    const { call: name } = serviceCall;
    const size = /Multipart|Copy$|Annotations$/.test(name) ? MAX_COPY_BYTES + 1 : 600 * KIB;
    const times: readonly ImageTime[] = name === 'SmallFileUpload' ? ['before', 'after'] : [];
    const images = times.map((when): ImagePlan[] => [{ of: 0, named: false, sameAsFirst: false, when }]);
    return listFaults(serviceCall).flatMap((fault) =>
      (images.length > 0 ? images : [[]]).map(
        (images): Plan => ({
          objects: [{ size, sameAsFirst: false, resumed: true, annotated: false }],
          images,
          versioned: name === 'GetBucketLifecycleConfiguration',
          writeBack: modeWith(name),
          ignorant: false,
          clockOff: false,
          incidents: [{ ...serviceCall, nth: 0, kind: 'fault', fault, times: 1 }],
          deliveries: [],
        }),
      ),
    );
  },
);

/** A mode whose write-back makes this call. */
function modeWith(call: string): Plan['writeBack'] {
  if (/Tagging/.test(call)) return 'tags';
  if (/Annotation$/.test(call)) return 'annotation';
  return /Bucket|ObjectLock/.test(call) ? 'auto' : 'metadata';
}

function weighted<T>(...choices: [weight: number, arbitrary: fc.Arbitrary<T>][]): fc.Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}
