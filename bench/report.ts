import type { Measurement } from './messages.ts';

/** A result as `--json` prints it. `reach` is the target for `ratio` (value to reference), or for the value without one. */
export type ScenarioResult = Readonly<{
  scenario: string;
  value: number;
  unit: 'B/s' | 'bytes' | 'events' | '$' | 'ms' | 'min' | 'parts' | 'parts/min';
  reference: number | null;
  ratio: number | null;
  reach: number;
  ok: boolean;
}>;

export type Finding = Readonly<{
  value: number;
  unit: ScenarioResult['unit'];
  reference?: number;
  /** Other conditions of success, and whether they hold. */
  conditions?: Readonly<Record<string, boolean>>;
  /** Details for the reader. */
  measurements?: readonly Measurement[];
  notes?: readonly string[];
}>;

export type Target = Readonly<{ atLeast: number } | { atMost: number }>;

/** Compares a finding with its target. */
export function evaluate(scenario: string, target: Target, finding: Finding): ScenarioResult {
  const { value, unit, reference = null, conditions = {} } = finding;
  const ratio = reference === null ? null : value / reference;
  const actual = ratio ?? value;
  const isReached = 'atLeast' in target ? actual >= target.atLeast : actual <= target.atMost;
  return {
    scenario,
    value: round(value),
    unit,
    reference: reference === null ? null : round(reference),
    ratio: ratio === null ? null : round(ratio),
    reach: 'atLeast' in target ? target.atLeast : target.atMost,
    ok: isReached && Object.values(conditions).every(Boolean),
  };
}

const round = (value: number): number => (Number.isInteger(value) ? value : Number(value.toPrecision(4)));

/** Formats a result for the terminal, one line each. `reference` describes what the value is compared with. */
export function formatResult(
  { scenario, ratio, value, unit, ok, ...result }: ScenarioResult,
  target: Target,
  reference: string,
  { conditions = {}, notes = [], measurements = [] }: Finding,
): string[] {
  const sign = 'atLeast' in target ? '>=' : '<=';
  const actual = ratio === null ? formatAmount(value, unit) : `${ratio.toFixed(2)} x`;
  const against =
    result.reference === null ? '' : ` against ${formatAmount(result.reference, unit)} (${reference})`;
  const state = (isMet: boolean): string => (isMet ? 'ok  ' : 'MISS');
  return [
    `${state(ok)} ${scenario}: ${formatAmount(value, unit)}${against}: ${actual}, target ${sign} ${result.reach}`,
    ...Object.entries(conditions).map(([condition, isMet]) => `       ${state(isMet)} ${condition}`),
    ...[...notes, ...measurements.map(formatMeasurement)].map((line) => `       ${line}`),
  ];
}

const MiB = 1024 ** 2;

export function formatAmount(value: number, unit: ScenarioResult['unit']): string {
  switch (unit) {
    case 'B/s':
      return `${(value / MiB).toFixed(1)} MiB/s`;
    case 'bytes':
      return value < MiB ? `${(value / 1024).toFixed(1)} KiB` : `${(value / MiB).toFixed(1)} MiB`;
    case 'events':
    case 'parts':
    case 'parts/min':
      return `${value} ${unit}`;
    case 'min':
      return `${value.toFixed(1)} min`;
    case 'ms':
      return `${value.toFixed(1)} ms`;
    case '$':
      return `$${value.toFixed(6)}`;
  }
}

function formatMeasurement(measurement: Measurement): string {
  const { bytes, ms, s3, vod, invocations, transitions, peakRss, cpuMs, outcomes } = measurement;
  const formatCounts = (counts: Record<string, number> = {}) =>
    Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ') || '-';
  const functions = Object.entries(invocations).map(
    ([name, { count, ms }]) => `${count} ${name} ${formatSeconds(ms)}`,
  );
  return [
    `${(bytes / MiB).toFixed(0)} MiB in ${formatSeconds(ms)}`,
    `S3: ${formatCounts(s3?.requests)}`,
    `VOD: ${formatCounts(vod?.requests)}${vod?.quotaErrors ? `, ${vod.quotaErrors} x 4400` : ''}`,
    `invocations: ${functions.join(', ') || '-'}`,
    `transitions: ${transitions || '-'}`,
    `peak RSS ${(peakRss / MiB).toFixed(0)} MiB`,
    `CPU ${formatSeconds(cpuMs)} here, ${formatSeconds(s3?.cpuMs ?? 0)} S3, ${formatSeconds(vod?.cpuMs ?? 0)} VOD`,
    ...(outcomes.length > 0 ? [`ended: ${outcomes.join(', ')}`] : []),
  ].join(' | ');
}

const formatSeconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
