import { styleText } from 'node:util';

/** Formats numbers and text for people. */

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function formatBytes(count: number): string {
  let value = count;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** In MB/s (10⁶ bytes), the unit of network links. */
export const formatRate = (bytesPerSecond: number): string => `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;

export function formatDuration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function formatBar(fraction: number, width = 24): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** A key can contain any character. Control characters, which a terminal would obey, become boxes. */
export const replaceControls = (text: string): string => text.replace(/\p{Cc}/gu, '\u25a1');

/** Styles text for standard error, unless it is no terminal. */
export const style = (format: 'green' | 'red' | 'dim', text: string): string =>
  styleText(format, text, { stream: process.stderr });
