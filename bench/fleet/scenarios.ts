import type { Finding, Target } from '../report.ts';
import type { Scenario } from '../scenario.ts';
import { type Arrival, type FleetOptions, type FleetRun, runFleet } from './fleet.ts';
import { type FleetMeasures, measureFleet, medianWait } from './measures.ts';
import { GiB, VOD } from './model.ts';

/** The fleet: many objects in one account, in virtual time. Each scenario runs with several seeds, and the worst run counts. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const CLIP_BYTES = 20e6;

/** `count` objects that arrive one after the other within a time. */
export const arrivals = (count: number, size: number, { atMs = 0, withinMs = 0 } = {}): Arrival[] =>
  Array.from({ length: count }, (_, n) => ({ size, atMs: atMs + (n * withinMs) / count }));

/** Runs a scenario with one seed. */
type Trial = (seed: number) => Promise<Finding>;

const fleetScenario = (scenario: Omit<Scenario, 'run'>, runTrial: Trial): Scenario => ({
  ...scenario,
  async run({ log }, { seeds }) {
    const findings: Finding[] = [];
    for (const seed of seeds) {
      log(`${scenario.name}  seed ${seed}`);
      const finding = await runTrial(seed);
      findings.push({ ...finding, notes: (finding.notes ?? []).map((note) => `seed ${seed}: ${note}`) });
    }
    const [worst] = findings.toSorted((a, b) => rank(a, scenario.target) - rank(b, scenario.target));
    if (!worst) throw new RangeError('expected at least one seed');
    return { ...worst, notes: findings.flatMap(({ notes = [] }) => notes) };
  },
});

/** Orders findings from the worst to the best: first those that miss a condition, then by their distance from the target. */
function rank(finding: Finding, target: Target): number {
  const missed = Object.values(finding.conditions ?? {}).filter((isMet) => !isMet).length;
  const actual = finding.value / (finding.reference ?? 1);
  return -1e9 * missed + ('atLeast' in target ? actual : -actual);
}

const count = (run: FleetRun, name: keyof FleetRun['invocations']): string => {
  const { count, ms } = run.invocations[name];
  return `${count} ${name} ${(ms / 1000).toFixed(0)} s`;
};

export function describeRun(run: FleetRun, measures: FleetMeasures): string {
  const { makespanMs, partsPerMinute, maxEvents, transitionsPerObject, initTriesPerObject } = measures;
  return [
    `${(makespanMs / MINUTE).toFixed(1)} min`,
    ...(Number.isFinite(partsPerMinute) ? [`${partsPerMinute.toFixed(0)} parts/min`] : []),
    `at most ${maxEvents} events`,
    `${transitionsPerObject.toFixed(1)} transitions and ${initTriesPerObject.toFixed(2)} InitUpload per object`,
    `$${measures.dollarsPerGiB.toFixed(5)}/GiB`,
    `median wait ${(measures.medianWaitMs / MINUTE).toFixed(1)} min`,
    `${(Object.keys(run.invocations) as (keyof FleetRun['invocations'])[]).map((name) => count(run, name)).join(', ')}`,
    `${run.vod.rejected.UploadPart + run.vod.rejected.InitUpload + run.vod.rejected.FinishUpload} x 4400`,
    `${run.throttles} throttles`,
    `${run.table.writes} table writes`,
    ...run.failures.slice(0, 1),
  ].join(', ');
}

async function observe(
  options: FleetOptions,
): Promise<{ run: FleetRun; measures: FleetMeasures; note: string }> {
  const run = await runFleet(options);
  const measures = measureFleet(run);
  return { run, measures, note: describeRun(run, measures) };
}

/** No scenario may lose anything. */
const nothingFails = ({ failures, deadLetters }: FleetMeasures) => ({
  'none fails, none is dead-lettered': failures === 0 && deadLetters === 0,
});

const MAX_HISTORY = 15_000;

/** `objects` of the same size arrive at the same moment. */
const largeObjects =
  (objects: number, size: number): Trial =>
  async (seed) => {
    const alone = measureFleet(await runFleet({ seed, arrivals: arrivals(1, size) }));
    const { measures, note } = await observe({ seed, arrivals: arrivals(objects, size) });
    const costRatio = measures.dollarsPerGiB / alone.dollarsPerGiB;
    return {
      value: measures.partsPerMinute,
      unit: 'parts/min',
      reference: VOD.partsPerMinute,
      conditions: {
        ...nothingFails(measures),
        [`at most ${MAX_HISTORY} events`]: measures.maxEvents <= MAX_HISTORY,
        'at most 1.25 x the $/GiB of one alone': costRatio <= 1.25,
      },
      notes: [`${note}; ${costRatio.toFixed(2)} x the cost of one alone`],
    };
  };

/** `clips` arrive within a minute. */
const manyClips =
  (clips: number): Trial =>
  async (seed) => {
    const alone = measureFleet(await runFleet({ seed, arrivals: arrivals(1, CLIP_BYTES) }));
    const { measures, note } = await observe({
      seed,
      arrivals: arrivals(clips, CLIP_BYTES, { withinMs: MINUTE }),
    });
    const transitionRatio = measures.transitionsPerObject / alone.transitionsPerObject;
    return {
      value: measures.makespanMs / MINUTE,
      unit: 'min',
      reference: clips / VOD.callsPerMinute,
      conditions: {
        ...nothingFails(measures),
        'at most 1.2 InitUpload tries each': measures.initTriesPerObject <= 1.2,
        'at most 1.3 x the transitions of one alone': transitionRatio <= 1.3,
      },
      notes: [`${note}; ${transitionRatio.toFixed(2)} x the transitions of one alone`],
    };
  };

/** One object alone. */
const newerApi: Trial = async (seed) => {
  const options = { seed, arrivals: arrivals(1, 100 * GiB), vodLatencyMs: 300 };
  const older = await observe(options);
  const { measures, note } = await observe({ ...options, api: '2018-07-17' });
  return {
    value: measures.makespanMs / MINUTE,
    unit: 'min',
    reference: older.measures.makespanMs / MINUTE,
    conditions: { 'at most 4 min': measures.makespanMs <= 4 * MINUTE, ...nothingFails(measures) },
    notes: [note, `API 2.0: ${older.note}`],
  };
};

const newAccount: Trial = async (seed) => {
  const population = [...arrivals(5, 10 * GiB), ...arrivals(500, CLIP_BYTES, { withinMs: MINUTE })];
  const usual = await observe({ seed, arrivals: population });
  const { measures, note } = await observe({ seed, arrivals: population, concurrency: 10 });
  return {
    value: measures.makespanMs / MINUTE,
    unit: 'min',
    reference: usual.measures.makespanMs / MINUTE,
    conditions: nothingFails(measures),
    notes: [note, `with 1,000 functions: ${usual.note}`],
  };
};

const LARGE_BYTES = 200 * GiB;
/** The large objects are hashed and send parts when the clips arrive. */
const CLIPS_ARRIVE_AT = HOUR;
const MIXED = [
  ...arrivals(3, LARGE_BYTES),
  ...arrivals(2_000, CLIP_BYTES, { atMs: CLIPS_ARRIVE_AT, withinMs: MINUTE }),
];

const isClip = ({ size }: { size: number }): boolean => size === CLIP_BYTES;

const mixed: Trial = async (seed) => {
  const { run, measures, note } = await observe({ seed, arrivals: MIXED });
  const clips = run.objects.filter(isClip);
  const last = Math.max(...clips.map(({ finishedAt = Number.POSITIVE_INFINITY }) => finishedAt));
  const rateOf = (fromMs: number, untilMs: number): number => {
    const [from, until] = [Math.ceil(fromMs / MINUTE), Math.floor(untilMs / MINUTE)];
    const minutes = run.partsByMinute.get(LARGE_BYTES)?.slice(from, until) ?? [];
    return minutes.reduce((total, parts = 0) => total + parts, 0) / (until - from);
  };
  const pace = rateOf(CLIPS_ARRIVE_AT, last) / rateOf(CLIPS_ARRIVE_AT - 10 * MINUTE, CLIPS_ARRIVE_AT);
  return {
    value: medianWait({ objects: clips }) / MINUTE,
    unit: 'min',
    conditions: { ...nothingFails(measures), 'the large ones keep 75 % of their pace': pace >= 0.75 },
    notes: [`${note}; the large ones keep ${(100 * pace).toFixed(0)} %`],
  };
};

const outage: Trial = async (seed) => {
  const from = CLIPS_ARRIVE_AT + 10 * MINUTE;
  const { measures, note } = await observe({
    seed,
    arrivals: MIXED,
    outage: { from, until: from + 6 * HOUR },
  });
  return { value: measures.resentParts, unit: 'parts', conditions: nothingFails(measures), notes: [note] };
};

const neighbour: Trial = async (seed) => {
  const neighbourShare = 0.5;
  // The clips arrive when the large objects are hashed, so that from the first part on there is work for the whole quota.
  const clips = arrivals(200, CLIP_BYTES, { atMs: 15 * MINUTE, withinMs: 10 * MINUTE });
  const population = [...arrivals(5, 50 * GiB), ...clips];
  const { measures, note } = await observe({ seed, arrivals: population, neighbourShare });
  return {
    value: measures.partsPerMinute,
    unit: 'parts/min',
    reference: VOD.partsPerMinute * (1 - neighbourShare),
    conditions: nothingFails(measures),
    notes: [note],
  };
};

export const FLEET_SCENARIOS: readonly Scenario[] = [
  fleetScenario(
    {
      name: 'fleet-large',
      description: '10 x 200 GiB at the same moment: parts per minute until the last one sends',
      reference: "VOD's quota",
      target: { atLeast: 0.95 },
    },
    largeObjects(10, LARGE_BYTES),
  ),
  fleetScenario(
    {
      name: 'fleet-crowd',
      description: '40 x 100 GiB at the same moment: parts per minute until the last one sends',
      reference: "VOD's quota",
      target: { atLeast: 0.95 },
    },
    largeObjects(40, 100 * GiB),
  ),
  fleetScenario(
    {
      name: 'fleet-bulk',
      description: '15,000 x 20 MB within one minute: the time until all are done',
      reference: 'one InitUpload each at the rate of the quota',
      target: { atMost: 1.1 },
    },
    manyClips(15_000),
  ),
  fleetScenario(
    {
      name: 'fleet-flood',
      description: '100,000 x 20 MB within one minute: the time until all are done',
      reference: 'one InitUpload each at the rate of the quota',
      target: { atMost: 1.1 },
    },
    manyClips(100_000),
  ),
  fleetScenario(
    {
      name: 'fleet-new-account',
      description: '10 concurrent functions, 5 x 10 GiB and 500 x 20 MB: the time until all are done',
      reference: '1,000 concurrent functions',
      target: { atMost: 1.25 },
    },
    newAccount,
  ),
  fleetScenario(
    {
      name: 'fleet-2018',
      description:
        'API 2018-07-17: 100 GiB alone, 300 ms per request to VOD: the time from the event to the result',
      reference: 'API 2.0',
      target: { atMost: 1 / 6 },
    },
    newerApi,
  ),
  fleetScenario(
    {
      name: 'fleet-mixed',
      description: '3 x 200 GiB send, 2,000 clips of 20 MB arrive: the wait of the median clip',
      reference: '-',
      target: { atMost: 12 },
    },
    mixed,
  ),
  fleetScenario(
    {
      name: 'fleet-outage',
      description: 'the same, and VOD is gone for 6 hours: parts that VOD held and that were sent again',
      reference: '-',
      target: { atMost: 0 },
    },
    outage,
  ),
  fleetScenario(
    {
      name: 'fleet-neighbour',
      description: "another user takes half of VOD's quota: parts per minute of 5 x 50 GiB and 200 clips",
      reference: 'the other half',
      target: { atLeast: 0.9 },
    },
    neighbour,
  ),
];
