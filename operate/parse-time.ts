import { UsageError } from '../cli/errors.ts';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A date, or a date and a time of day. Without a time zone it is local time, as ISO 8601 defines. */
const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Parses a time in the past: ISO 8601, or a time ago (`90m`, `2h`, `3d`).
 * @returns milliseconds since 1970 @throws {UsageError} naming the option
 */
export function parseTime(option: string, text: string, now: number): number {
  const [, count, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const time = count === undefined ? parseIso(text) : now - Number(count) * (UNIT_MS[unit] ?? 0);
  if (time === undefined) {
    throw new UsageError(
      `${option} ${text}: expected a time such as 2026-11-21T18:00:00Z, or a time ago such as 2h`,
    );
  }
  if (time > now) throw new UsageError(`${option} ${text}: expected a time in the past`);
  return time;
}

function parseIso(text: string): number | undefined {
  const time = ISO.test(text) ? Date.parse(text) : Number.NaN;
  // Date.parse accepts 31 February as a day in March.
  const day = Number(text.slice(8, 10));
  const daysInMonth = new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5, 7)), 0)).getUTCDate();
  return Number.isNaN(time) || day > daysInMonth ? undefined : time;
}
