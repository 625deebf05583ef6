import { costOf, total } from './cost.ts';
import { historyEvents, MOST_EVENTS, MOST_STATE_BYTES } from './history.ts';
import { IMPORTS, importTimes } from './imports.ts';
import type { Lab } from './measure.ts';
import type { Measured } from './messages.ts';
import type { Finding, Reach } from './report.ts';
import { type SimulatedObject, type SimulatedRun, simulateExecution } from './simulate-execution.ts';

/** What is measured, against what, and what is to be reached. */
export type Scenario = Readonly<{
  name: string;
  what: string;
  reference: string;
  reach: Reach;
  run(lab: Lab): Promise<Finding>;
}>;

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

/** The machine may be busy with other things: each side is measured so often, in turns, and the middle one counts. */
const ROUNDS = 3;

/** One S3 connection, as measured from a Lambda function in the same region. */
const S3_NETWORK = { bytesPerSecond: 85_000_000, latencyMs: 30 };
const VOD_NETWORK = { latencyMs: 100 };

type Rate = Readonly<{ bytes: number; ms: number }>;
const rate = ({ bytes, ms }: Rate): number => (bytes / ms) * 1000;

/** The middle of three. */
function median<T>(items: readonly T[], by: (item: T) => number): T {
  const middle = items.toSorted((a, b) => by(a) - by(b))[Math.floor(items.length / 2)];
  if (middle === undefined) throw new RangeError('the median of nothing');
  return middle;
}

async function compare(
  ours: () => Promise<Measured>,
  theirs: () => Promise<Measured>,
  of: (measured: Measured) => Rate,
): Promise<Finding> {
  const pairs: { mine: Measured; reference: Measured; ratio: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const reference = await theirs();
    const mine = await ours();
    pairs.push({ mine, reference, ratio: rate(of(mine)) / rate(reference) });
  }
  // Of each pair, measured one right after the other, the ratio means most.
  const { mine, reference } = median(pairs, ({ ratio }) => ratio);
  const ratios = pairs.map(({ ratio }) => ratio.toFixed(2)).join(', ');
  return {
    value: rate(of(mine)),
    unit: 'B/s',
    reference: rate(reference),
    measured: [mine, reference],
    notes: [`ratios of ${ROUNDS} rounds: ${ratios}`],
  };
}

const sendingOf = ({ sending, bytes, ms }: Measured): Rate => sending ?? { bytes, ms };

const allWell = ({ ends }: Measured): boolean =>
  ends.includes('uploaded') && !ends.some((end) => end.includes(':'));

async function upload(lab: Lab, size: number, s3: object, vod: object): Promise<Measured> {
  const { event } = await lab.object(size);
  return lab.measure({ job: 'upload', event, s3, vod: { quota: false, ...vod } });
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'hash',
    what: 'SHA-1 of 1 GiB, nothing limits the link',
    reference: 'one GetObject piped to node:crypto',
    reach: { atLeast: 0.9 },
    async run(lab) {
      const { key } = await lab.object(GiB);
      const network = {};
      return compare(
        () => lab.measure({ job: 'hash', key, network }),
        () => lab.measure({ job: 'stream', key, network }),
        (measured) => measured,
      );
    },
  },
  {
    name: 'hash-capped',
    what: 'SHA-1 of 1 GiB, 85 MB/s and 30 ms per connection',
    reference: 'the same single stream under the same cap',
    reach: { atLeast: 4 },
    async run(lab) {
      const [{ key }, small] = [await lab.object(GiB), await lab.object(GiB / 4)];
      return compare(
        () => lab.measure({ job: 'hash', key, network: S3_NETWORK }),
        () => lab.measure({ job: 'stream', key: small.key, network: S3_NETWORK }),
        (measured) => measured,
      );
    },
  },
  {
    name: 'upload',
    what: 'parts of 512 MiB, 100 ms per request, no quota',
    reference: '6 connections, 512 KiB parts, group by group',
    reach: { atLeast: 7 },
    async run(lab) {
      const finding = await compare(
        () => upload(lab, GiB / 2, {}, { network: VOD_NETWORK }),
        () => lab.measure({ job: 'barrier', size: 64 * MiB, network: VOD_NETWORK }),
        sendingOf,
      );
      return {
        ...finding,
        besides: { 'uploaded and written back': finding.measured?.some(allWell) ?? false },
      };
    },
  },
  {
    name: 'quota',
    what: 'parts of 4 GiB, 100 ms per request, 1,000 parts in each 6 s',
    reference: 'the quota itself',
    reach: { atLeast: 0.95 },
    async run(lab) {
      const quota = { minuteMs: 6_000, parts: 1_000 };
      const measured = await upload(lab, 4 * GiB, {}, { network: VOD_NETWORK, quota });
      return {
        value: rate(sendingOf(measured)),
        unit: 'B/s',
        reference: (quota.parts * MiB * 1000) / quota.minuteMs,
        besides: {
          'no 4400': measured.vod?.quotaErrors === 0,
          'uploaded and written back': allWell(measured),
        },
        measured: [measured],
      };
    },
  },
  {
    name: 'memory',
    what: 'peak RSS of the whole chain in one process, 10 GiB',
    reference: 'the same for 1 GiB',
    reach: { atMost: 1.1 },
    async run(lab) {
      const [large, small] = [await upload(lab, 10 * GiB, {}, {}), await upload(lab, GiB, {}, {})];
      return {
        value: large.peakRss,
        unit: 'bytes',
        reference: small.peakRss,
        besides: {
          'at most 256 MiB': large.peakRss <= 256 * MiB,
          'uploaded and written back': [large, small].every(allWell),
        },
        measured: [large, small],
      };
    },
  },
  {
    name: 'state',
    what: 'largest state between steps, 1 TB of which one part in twenty is missing at random',
    reference: "the engine's limit",
    reach: { atMost: 0.4 },
    async run() {
      const course = await simulateExecution({ ...TERABYTE, isMissing: oneInTwenty() });
      return {
        value: course.largestState,
        unit: 'bytes',
        reference: MOST_STATE_BYTES,
        notes: [
          describeCourse(course),
          `fresh: ${(await simulateExecution(TERABYTE)).largestState} bytes; of what each function takes and answers`,
        ],
      };
    },
  },
  {
    name: 'history',
    what: 'events of the execution that uploads 1 TB',
    reference: "the engine's limit",
    reach: { atMost: 0.4 },
    async run() {
      const course = await simulateExecution(TERABYTE);
      const slow = await simulateExecution({ ...TERABYTE, partsPerSecond: TERABYTE.partsPerSecond / 10 });
      const large = await simulateExecution({ ...TERABYTE, size: 5e12 });
      const holes = await simulateExecution({ ...TERABYTE, isMissing: oneInTwenty() });
      return {
        value: historyEvents(course.entered),
        unit: 'events',
        reference: MOST_EVENTS,
        notes: [
          describeCourse(course),
          `at a tenth of that pace: ${historyEvents(slow.entered)} events; ${describeCourse(slow)}`,
          `5 TB: ${historyEvents(large.entered)} events; ${describeCourse(large)}`,
          `1 TB of which one part in twenty is missing: ${historyEvents(holes.entered)} events; ${describeCourse(holes)}`,
        ],
      };
    },
  },
  {
    name: 'cost',
    what: '1 GiB, 85 MB/s and 30 ms per connection to S3, 100 ms per request to VOD, without egress',
    reference: '-',
    reach: { atMost: 0.002 },
    async run(lab) {
      const measured = await upload(lab, GiB, S3_NETWORK, { network: VOD_NETWORK });
      const cost = costOf(measured);
      return {
        value: total(cost),
        unit: '$',
        besides: { 'uploaded and written back': allWell(measured) },
        notes: [
          Object.entries(cost)
            .map(([what, dollars]) => `${what} $${dollars.toFixed(6)}`)
            .join(', '),
        ],
        measured: [measured],
      };
    },
  },
  {
    name: 'import',
    what: "loading a function's bundle in a fresh process, the slowest of them",
    reference: '-',
    reach: { atMost: 70 },
    async run(lab) {
      const { bundles, bareMs } = await importTimes(lab.say);
      const medians = bundles.map(({ ms }) => ms);
      return {
        value: Math.max(...medians),
        unit: 'ms',
        notes: [
          `medians of ${IMPORTS} processes: ${bundles.map(({ name, ms, leastMs }) => `${name} ${ms.toFixed(1)} ms (least ${leastMs.toFixed(1)})`).join(', ')}`,
          `a process that loads nothing, from start to end: ${bareMs.toFixed(1)} ms`,
        ],
      };
    },
  },
];

/** Eight invocations share the service's 10,000 parts a minute; one hashes at what four S3 connections bring. */
const TERABYTE: SimulatedObject = {
  size: 1e12,
  isMissing: () => true,
  partsPerSecond: 10_000 / 60 / 8,
  hashBytesPerSecond: 4 * S3_NETWORK.bytesPerSecond,
};

/** The same parts in every run: a multiplicative generator (Lehmer), seeded. */
function oneInTwenty(): (part: number) => boolean {
  let state = 20_260_101;
  return () => {
    state = (state * 48_271) % 0x7fffffff;
    return state % 20 === 0;
  };
}

const describeCourse = ({ invocations, sentParts, largestState, entered }: SimulatedRun): string =>
  `${entered.items} batches, ${invocations} invocations, ${sentParts} parts, largest state ${largestState} bytes`;
