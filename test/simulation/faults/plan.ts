import fc from 'fast-check';
import {
  type Fault,
  type FaultyService,
  listFaults,
  PIPELINE_CALLS,
  type ServiceCall,
} from '../../../local/fault-injection.ts';

/** A small world, and all that shall go wrong in it: generated, and shrunk, by fast-check. */

/** `resumed`: an earlier run has sent the first part, in parts of 512 KiB. `sameAs`: the bytes are those of the first object. */
export type ObjectPlan = Readonly<{ size: number; sameAsFirst: boolean; resumed: boolean }>;

/**
 * `of`: the video (by number) whose name it has, or, where it is `named`, which its `vod-cover-of` names. `when`: before the videos,
 * with them, after all else, or when the first request of a call comes.
 */
export type ImagePlan = Readonly<{ of: number; named: boolean; sameAsFirst: boolean; when: When }>;
const WHILE = ['InitUpload', 'UploadPart', 'FinishUpload', 'CopyObject', 'ListObjectsV2'] as const;
export type When = 'before' | 'with' | 'after' | (typeof WHILE)[number];

/**
 * What other writers do. `overwrite`: other bytes. `carry`: other bytes, and the metadata that was there, ours too. `again`: the
 * same bytes with other metadata. `edit`: metadata only. `tag`: a tag more. `delete`.
 */
export const DEEDS = ['overwrite', 'carry', 'again', 'edit', 'tag', 'delete'] as const;
export type Deed = (typeof DEEDS)[number];

/** What happens to the chain itself: `kill`: what runs is gone. `hurry`: invocations from now on get little time. `double`: all events come again. */
export const BLOWS = ['kill', 'hurry', 'double'] as const;
export type Blow = (typeof BLOWS)[number];

/** Happens when the `nth` request of the call comes, before it is looked at. */
export type Incident = Readonly<{ service: FaultyService; call: string; nth: number }> &
  (
    | Readonly<{ kind: 'fault'; fault: Fault; times: number }>
    | Readonly<{ kind: 'deed'; deed: Deed; object: number }>
    | Readonly<{ kind: 'blow'; blow: Blow }>
  );

/** How the n-th event comes: as it should, twice at once, or after the next one. */
export type Delivery = 'once' | 'twice' | 'late';

export type Plan = Readonly<{
  objects: readonly ObjectPlan[];
  images: readonly ImagePlan[];
  versioned: boolean;
  writeBack: 'metadata' | 'tags';
  /** The services' clock is three hours ahead of the chain's. */
  clockOff: boolean;
  incidents: readonly Incident[];
  deliveries: readonly Delivery[];
}>;

const KIB = 1024;
/** Parts are 512 KiB where an earlier run began, else 1 MiB; over 5 MiB the write-back is a copy in parts. */
const size = weighted(
  [10, fc.constantFrom(1, 700)],
  [12, fc.constantFrom(600 * KIB, 1100 * KIB)],
  [1, fc.constant(5 * KIB * KIB + 1)],
);
const rarely = weighted([4, fc.constant(false)], [1, fc.constant(true)]);
const object: fc.Arbitrary<ObjectPlan> = fc.record({ size, sameAsFirst: rarely, resumed: rarely });
const image: fc.Arbitrary<ImagePlan> = fc.record({
  of: fc.nat(1),
  named: rarely,
  sameAsFirst: rarely,
  when: fc.constantFrom<When>('before', 'with', 'after', ...WHILE),
});

const s3 = (calls: readonly string[]) => calls.map((call) => ({ service: 's3' as const, call }));
const vod = (calls: readonly string[]) => calls.map((call) => ({ service: 'vod' as const, call }));

/** Most of what can go wrong does so in few calls, and early. */
const call = weighted<ServiceCall>(
  [4, fc.constantFrom(...vod(['InitUpload', 'UploadPart', 'FinishUpload']))],
  [4, fc.constantFrom(...s3(['HeadObject', 'GetObject', 'CopyObject', 'GetObjectAcl']))],
  [2, fc.constantFrom(...vod(['SmallFileUpload']), ...s3(['ListObjectsV2']))],
  [1, fc.constantFrom(...s3(PIPELINE_CALLS.s3))],
);
const nth = weighted([5, fc.constant(0)], [3, fc.constant(1)], [2, fc.integer({ min: 2, max: 6 })]);

/** Of a call the chain's own repeats are 5; with those of the state machine 35. */
const times = weighted(
  [10, fc.integer({ min: 1, max: 2 })],
  [3, fc.integer({ min: 3, max: 7 })],
  [1, fc.constant(40)],
);

const incident: fc.Arbitrary<Incident> = fc.tuple(call, nth).chain(([serviceCall, at]) => {
  const faults = fc.record({ fault: fc.constantFrom(...listFaults(serviceCall)), times });
  const deeds = fc.record({ deed: fc.constantFrom(...DEEDS), object: fc.nat(3) });
  const moment = { ...serviceCall, nth: at };
  return weighted<Incident>(
    [5, faults.map((what) => ({ ...moment, kind: 'fault', ...what }))],
    [3, deeds.map((what) => ({ ...moment, kind: 'deed', ...what }))],
    [2, fc.constantFrom(...BLOWS).map((blow) => ({ ...moment, kind: 'blow', blow }))],
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
  writeBack: weighted<Plan['writeBack']>([4, fc.constant('metadata')], [1, fc.constant('tags')]),
  clockOff: weighted([40, fc.constant(false)], [1, fc.constant(true)]),
  incidents: fc.array(incident, { maxLength: 5 }),
  deliveries: fc.array(fc.constantFrom<Delivery>('once', 'once', 'twice', 'late'), { maxLength: 4 }),
});

/**
 * Each fault of each call of the chain by itself, on objects of one copy and, where it takes that, of a copy in parts; that of a
 * image both when the video looks for it and when it looks for the video.
 */
export const everyFault: readonly Plan[] = [...s3(PIPELINE_CALLS.s3), ...vod(PIPELINE_CALLS.vod)].flatMap(
  (serviceCall) => {
    const { call: name } = serviceCall;
    const isOfLarge = /Multipart|Copy$/.test(name);
    const whens: readonly When[] = name === 'SmallFileUpload' ? ['before', 'after'] : [];
    const images = whens.map((when): ImagePlan[] => [{ of: 0, named: false, sameAsFirst: false, when }]);
    return listFaults(serviceCall).flatMap((fault) =>
      (images.length > 0 ? images : [[]]).map(
        (beside): Plan => ({
          objects: [{ size: isOfLarge ? 5 * KIB * KIB + 1 : 600 * KIB, sameAsFirst: false, resumed: true }],
          images: beside,
          versioned: false,
          writeBack: /Tagging/.test(name) ? 'tags' : 'metadata',
          clockOff: false,
          incidents: [{ ...serviceCall, nth: 0, kind: 'fault', fault, times: 1 }],
          deliveries: [],
        }),
      ),
    );
  },
);

function weighted<T>(...choices: [weight: number, arbitrary: fc.Arbitrary<T>][]): fc.Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));
}
