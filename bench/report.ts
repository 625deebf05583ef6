import type { Measured } from './messages.ts';

/** What a scenario came to. `ratio`: of `value` to `reference`; without a reference, `reach` is for the value itself. */
export type Outcome = Readonly<{
  scenario: string;
  value: number;
  unit: 'B/s' | 'bytes' | 'events' | '$' | 'ms';
  reference: number | null;
  ratio: number | null;
  reach: number;
  ok: boolean;
}>;

export type Finding = Readonly<{
  value: number;
  unit: Outcome['unit'];
  reference?: number;
  /** What must be so besides the ratio, and whether it is. */
  besides?: Readonly<Record<string, boolean>>;
  /** What else was measured, for people. */
  measured?: readonly Measured[];
  notes?: readonly string[];
}>;

export type Reach = Readonly<{ atLeast: number } | { atMost: number }>;

export function judge(scenario: string, reach: Reach, finding: Finding): Outcome {
  const { value, unit, reference, besides = {} } = finding;
  const ratio = reference === undefined ? null : value / reference;
  const judged = ratio ?? value;
  const reached = 'atLeast' in reach ? judged >= reach.atLeast : judged <= reach.atMost;
  return {
    scenario,
    value: round(value),
    unit,
    reference: reference === undefined ? null : round(reference),
    ratio: ratio === null ? null : round(ratio),
    reach: 'atLeast' in reach ? reach.atLeast : reach.atMost,
    ok: reached && Object.values(besides).every(Boolean),
  };
}

const round = (value: number): number => (Number.isInteger(value) ? value : Number(value.toPrecision(4)));

export function lines(outcome: Outcome, reach: Reach, reference: string, finding: Finding): string[] {
  const { scenario, ratio, value, unit, ok } = outcome;
  const sign = 'atLeast' in reach ? '>=' : '<=';
  const judged = ratio === null ? amount(value, unit) : `${ratio.toFixed(2)} x`;
  const against =
    outcome.reference === null ? '' : ` against ${amount(outcome.reference, unit)} (${reference})`;
  return [
    `${ok ? 'ok  ' : 'MISS'} ${scenario}: ${amount(value, unit)}${against}: ${judged}, to reach ${sign} ${outcome.reach}`,
    ...Object.entries(finding.besides ?? {}).map(
      ([what, holds]) => `       ${holds ? 'ok  ' : 'MISS'} ${what}`,
    ),
    ...(finding.notes ?? []).map((note) => `       ${note}`),
    ...(finding.measured ?? []).map((measured) => `       ${describe(measured)}`),
  ];
}

const MiB = 1024 ** 2;

export function amount(value: number, unit: Outcome['unit']): string {
  switch (unit) {
    case 'B/s':
      return `${(value / MiB).toFixed(1)} MiB/s`;
    case 'bytes':
      return value < MiB ? `${(value / 1024).toFixed(1)} KiB` : `${(value / MiB).toFixed(1)} MiB`;
    case 'events':
      return `${value} events`;
    case 'ms':
      return `${value.toFixed(1)} ms`;
    case '$':
      return `$${value.toFixed(6)}`;
  }
}

/** Everything that the issue wants printed of a measurement. */
function describe(m: Measured): string {
  const counts = (of: Record<string, number> = {}) =>
    Object.entries(of).map(([name, count]) => `${count} ${name}`);
  const runs = Object.entries(m.invocations).map(
    ([name, { count, ms }]) => `${count} ${name} ${seconds(ms)}`,
  );
  return [
    `${(m.bytes / MiB).toFixed(0)} MiB in ${seconds(m.ms)}`,
    `S3: ${counts(m.s3?.requests).join(', ') || '-'}`,
    `VOD: ${counts(m.vod?.requests).join(', ') || '-'}${m.vod?.quotaErrors ? `, ${m.vod.quotaErrors} x 4400` : ''}`,
    `invocations: ${runs.join(', ') || '-'}`,
    `transitions: ${m.transitions || '-'}`,
    `peak RSS ${(m.peakRss / MiB).toFixed(0)} MiB`,
    `CPU ${seconds(m.cpuMs)} here, ${seconds(m.s3?.cpuMs ?? 0)} S3, ${seconds(m.vod?.cpuMs ?? 0)} VOD`,
    ...(m.ends.length > 0 ? [`ended: ${m.ends.join(', ')}`] : []),
  ].join(' | ');
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
