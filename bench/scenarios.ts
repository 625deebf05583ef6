import { planUpload } from '../lib/vod/v2018/limits.ts';
import type { NetworkLimits } from '../local/network-simulator.ts';
import { computeCost, measuredUsage, sum } from './cost.ts';
import { describeCosts, describeTimes } from './fleet/costs.ts';
import { MAX_EVENTS, MAX_STATE_BYTES } from './history.ts';
import { IMPORTS, measureImports } from './imports.ts';
import type { Amount, Api, CosUpload, Measurement, ServiceOptions } from './messages.ts';
import type { Finding } from './report.ts';
import type { Scenario } from './scenario.ts';
import { type SimulatedObject, type SimulatedRun, simulateExecution } from './simulate-execution.ts';
import type { Workspace } from './workspace.ts';

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

/** Other load on the machine varies: both sides are measured this often, in turns, and the middle ratio counts. */
const ROUNDS = 3;

/** One S3 connection, as measured from a Lambda function in the same region. */
const S3_NETWORK = { bytesPerSecond: 85_000_000, latencyMs: 30 };
const VOD_NETWORK = { latencyMs: 100 };

const computeRate = ({ bytes, ms }: Amount): number => (bytes / ms) * 1000;
const sendingRate = ({ sending, bytes, ms }: Measurement): number => computeRate(sending ?? { bytes, ms });

type Pair = Readonly<{ pipeline: Measurement; reference: Measurement; ratio: number }>;
type Measure = () => Promise<Measurement>;

async function compare(measurePipeline: Measure, measureReference: Measure): Promise<Finding> {
  const rounds = await measureRounds(measurePipeline, [measureReference]);
  return middleFinding(rounds.flat());
}

/** Returns for each round the pairs of the pipeline with each reference. */
async function measureRounds(measurePipeline: Measure, references: readonly Measure[]): Promise<Pair[][]> {
  const rounds: Pair[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const measured: Measurement[] = [];
    for (const measureReference of references) measured.push(await measureReference());
    const pipeline = await measurePipeline();
    rounds.push(
      measured.map((reference) => {
        const ratio = sendingRate(pipeline) / computeRate(reference);
        return { pipeline, reference, ratio };
      }),
    );
  }
  return rounds;
}

function middleFinding(pairs: readonly Pair[]): Finding & { measurements: Measurement[] } {
  const middle = pairs.toSorted((a, b) => a.ratio - b.ratio)[Math.floor(ROUNDS / 2)];
  if (!middle) throw new RangeError('expected at least one round');
  const { pipeline, reference } = middle;
  return {
    value: sendingRate(pipeline),
    unit: 'B/s',
    reference: computeRate(reference),
    measurements: [pipeline, reference],
    notes: [`ratios of ${ROUNDS} rounds: ${pairs.map(({ ratio }) => ratio.toFixed(2)).join(', ')}`],
  };
}

/** Compares the hash pass of a GiB with one stream of `streamBytes`. */
async function compareHash(
  workspace: Workspace,
  network: NetworkLimits,
  streamBytes: number,
): Promise<Finding> {
  const { key } = await workspace.createObject(GiB);
  const { key: streamKey } = await workspace.createObject(streamBytes);
  return compare(
    () => workspace.measure({ job: 'hash', key, network }),
    () => workspace.measure({ job: 'stream', key: streamKey, network }),
  );
}

const isUploaded = ({ outcomes }: Measurement): boolean =>
  outcomes.includes('uploaded') && !outcomes.some((outcome) => outcome.includes(':'));

/** Uploads an object of `size` bytes through the whole pipeline. Without `quota`, VOD has none. */
async function measureUpload(
  workspace: Workspace,
  size: number,
  {
    api = '2.0',
    s3 = {},
    ...vod
  }: { api?: Api; s3?: NetworkLimits } & Pick<ServiceOptions, 'network' | 'quota'> = {},
): Promise<Measurement> {
  const { event } = await workspace.createObject(size);
  return workspace.measure({ job: 'upload', api, event, s3, vod: { quota: false, ...vod } });
}

const uploadCondition = (...measurements: Measurement[]) => ({
  'uploaded and written back': measurements.every(isUploaded),
});

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'hash',
    description: 'SHA-1 of 1 GiB, nothing limits the link',
    reference: 'one GetObject piped to node:crypto',
    target: { atLeast: 0.9 },
    run: (workspace) => compareHash(workspace, {}, GiB),
  },
  {
    name: 'hash-capped',
    description: 'SHA-1 of 1 GiB, 85 MB/s and 30 ms per connection',
    reference: 'the same single stream under the same cap',
    target: { atLeast: 4 },
    run: (workspace) => compareHash(workspace, S3_NETWORK, GiB / 4),
  },
  {
    name: 'upload',
    description: 'parts of 512 MiB, 100 ms per request, no quota',
    reference: '6 connections, 512 KiB parts, group by group',
    target: { atLeast: 7 },
    async run(workspace) {
      const finding = await compare(
        () => measureUpload(workspace, GiB / 2, { network: VOD_NETWORK }),
        () => workspace.measure({ job: 'baseline', size: 64 * MiB, network: VOD_NETWORK }),
      );
      return { ...finding, conditions: uploadCondition(...(finding.measurements ?? []).slice(0, 1)) };
    },
  },
  {
    name: 'upload-2018',
    description: 'API 2018-07-17: parts of 1 GiB, 100 ms per request',
    reference: 'sliceUploadFile of cos-nodejs-sdk-v5 with its defaults',
    target: { atLeast: 5 },
    async run(workspace) {
      const upload = (size: number, upload: CosUpload): Measure => {
        return () => workspace.measure({ job: 'cos-sdk', size, network: VOD_NETWORK, upload });
      };
      const rounds = await measureRounds(
        () => measureUpload(workspace, GiB, { api: '2018-07-17', network: VOD_NETWORK }),
        [upload(GiB / 4, {}), upload(GiB, { partBytes: 8 * MiB, partsInFlight: 16 })],
      );
      const [slow, tuned] = [0, 1].map((n) => middleFinding(rounds.flatMap((pairs) => pairs[n] ?? [])));
      if (!slow || !tuned) throw new RangeError('expected two references');
      const { notes = [], reference = 0, value } = tuned;
      const measurement = tuned.measurements[0];
      return {
        ...slow,
        conditions: {
          'as fast as the same SDK with 16 parts of 8 MiB in flight': value >= reference,
          'reads at most 1.001 times the object': (measurement?.s3?.sentBytes ?? 0) <= 1.001 * GiB,
          ...uploadCondition(...rounds.flat().map(({ pipeline }) => pipeline)),
        },
        measurements: [...slow.measurements, ...tuned.measurements],
        notes: [...(slow.notes ?? []), ...notes.map((note) => `16 parts of 8 MiB: ${note}`)],
      };
    },
  },
  {
    name: 'quota',
    description: 'parts of 4 GiB, 100 ms per request, 1,000 parts in each 6 s',
    reference: 'the quota itself',
    target: { atLeast: 0.95 },
    async run(workspace) {
      const quota = { minuteMs: 6_000, parts: 1_000 };
      const measurement = await measureUpload(workspace, 4 * GiB, { network: VOD_NETWORK, quota });
      return {
        value: sendingRate(measurement),
        unit: 'B/s',
        reference: (quota.parts * MiB * 1000) / quota.minuteMs,
        conditions: { 'no 4400': measurement.vod?.quotaErrors === 0, ...uploadCondition(measurement) },
        measurements: [measurement],
      };
    },
  },
  {
    name: 'memory',
    description: 'peak RSS of the whole pipeline in one process, 10 GiB',
    reference: 'the same for 1 GiB',
    target: { atMost: 1.1 },
    async run(workspace) {
      const [large, small] = [await measureUpload(workspace, 10 * GiB), await measureUpload(workspace, GiB)];
      return {
        value: large.peakRss,
        unit: 'bytes',
        reference: small.peakRss,
        conditions: { 'at most 256 MiB': large.peakRss <= 256 * MiB, ...uploadCondition(large, small) },
        measurements: [large, small],
      };
    },
  },
  {
    name: 'state',
    description: 'largest state between steps, 1 TB of which one part in twenty is missing at random',
    reference: "the engine's limit",
    target: { atMost: 0.4 },
    async run() {
      const run = await simulateExecution({ ...TERABYTE, isMissing: selectOneInTwenty() });
      const { maxStateBytes } = await simulateExecution(TERABYTE);
      const note = `nothing uploaded before: ${maxStateBytes} bytes (input or output of a function)`;
      const notes = [describeRun(run), note];
      return { value: run.maxStateBytes, unit: 'bytes', reference: MAX_STATE_BYTES, notes };
    },
  },
  {
    name: 'history',
    description: 'events of the execution that uploads 1 TB',
    reference: "the engine's limit",
    target: { atMost: 0.4 },
    async run() {
      const run = await simulateExecution(TERABYTE);
      const variants: Record<string, SimulatedObject> = {
        'a tenth of the rate': { ...TERABYTE, partsPerSecond: TERABYTE.partsPerSecond / 10 },
        '5 TB': { ...TERABYTE, size: 5e12 },
        '1 TB of which one part in twenty is missing': { ...TERABYTE, isMissing: selectOneInTwenty() },
      };
      const notes = [describeRun(run)];
      for (const [name, object] of Object.entries(variants)) {
        const variant = await simulateExecution(object);
        notes.push(`${name}: ${variant.events} events; ${describeRun(variant)}`);
      }
      return { value: run.events, unit: 'events', reference: MAX_EVENTS, notes };
    },
  },
  {
    name: 'state-2018',
    description: 'API 2018-07-17: largest state between steps, 5 TiB',
    reference: "the engine's limit",
    target: { atMost: 0.4 },
    async run() {
      const run = await simulateExecution(FIVE_TEBIBYTES);
      return {
        value: run.maxStateBytes,
        unit: 'bytes',
        reference: MAX_STATE_BYTES,
        conditions: { 'at most 40 % of the events': run.events <= 0.4 * MAX_EVENTS },
        notes: [`${run.events} events; ${describeRun(run)}`],
      };
    },
  },
  {
    name: 'cost',
    description: '1 GiB, 85 MB/s and 30 ms per connection to S3, 100 ms per request to VOD, without egress',
    reference: '-',
    target: { atMost: 0.002 },
    async run(workspace) {
      const measurement = await measureUpload(workspace, GiB, { s3: S3_NETWORK, network: VOD_NETWORK });
      const cost = computeCost(measuredUsage(measurement));
      const items = Object.entries(cost).map(([item, dollars]) => `${item} $${dollars.toFixed(6)}`);
      return {
        value: sum(Object.values(cost)),
        unit: '$',
        conditions: uploadCondition(measurement),
        notes: [items.join(', '), ...(await describeCosts()), ...(await describeTimes())],
        measurements: [measurement],
      };
    },
  },
  {
    name: 'cost-2018',
    description: 'API 2018-07-17: the same',
    reference: 'API 2.0',
    target: { atMost: 0.6 },
    async run(workspace) {
      const network = { s3: S3_NETWORK, network: VOD_NETWORK };
      const reference = await measureUpload(workspace, GiB, network);
      const measurement = await measureUpload(workspace, GiB, { ...network, api: '2018-07-17' });
      const priceOf = (measured: Measurement) => sum(Object.values(computeCost(measuredUsage(measured))));
      return {
        value: priceOf(measurement),
        unit: '$',
        reference: priceOf(reference),
        conditions: uploadCondition(measurement, reference),
        measurements: [measurement, reference],
      };
    },
  },
  {
    name: 'import',
    description: "loading the slowest function's bundle in a new process",
    reference: 'a process that loads nothing, from start to exit',
    // 70 ms was twice the reference on the machine that set the target. Machines differ by a factor of three, the ratio does not.
    target: { atMost: 1.6 },
    async run(workspace) {
      const { bundles, bareMs } = await measureImports(workspace.log);
      const times = bundles.map(
        ({ name, ms, minMs }) => `${name} ${ms.toFixed(1)} ms (minimum ${minMs.toFixed(1)})`,
      );
      return {
        value: Math.max(...bundles.map(({ ms }) => ms)),
        unit: 'ms',
        reference: bareMs,
        notes: [`medians of ${IMPORTS} processes: ${times.join(', ')}`],
      };
    },
  },
];

/** Four invocations share VOD's 10,000 parts per minute. One invocation hashes at the rate of four S3 connections. */
const TERABYTE: SimulatedObject = {
  size: 1e12,
  isMissing: () => true,
  partsPerSecond: 10_000 / 60 / 4,
  hashBytesPerSecond: 4 * S3_NETWORK.bytesPerSecond,
};

const FIVE_TEBIBYTES_LAYOUT = planUpload(5 * 1024 * GiB, 16);

/** A function sends 50 MiB/s. A session whose token has 1,000 characters is sealed to about 2,000. */
const FIVE_TEBIBYTES: SimulatedObject = {
  size: 5 * 1024 * GiB,
  isMissing: () => true,
  partsPerSecond: (50 * MiB) / FIVE_TEBIBYTES_LAYOUT.partSize,
  layout: { ...FIVE_TEBIBYTES_LAYOUT, session: 'x'.repeat(2_000), hasChecksums: true },
};

/** Selects the same parts in every run, with a seeded generator (Lehmer). */
function selectOneInTwenty(): (part: number) => boolean {
  let state = 20_260_101;
  return () => {
    state = (state * 48_271) % 0x7fffffff;
    return state % 20 === 0;
  };
}

const describeRun = ({ invocations, sentParts, maxStateBytes, batches }: SimulatedRun): string =>
  `${batches} batches, ${invocations} invocations, ${sentParts} parts, largest state ${maxStateBytes} bytes`;
