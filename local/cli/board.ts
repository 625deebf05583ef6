import { bar, bytes, duration, printable, rate } from '../../cli/format.ts';
import type { Progress } from '../../lib/progress.ts';

/** Where each object stands, and the lines that show it. Times in milliseconds, passed in. */

type Stage = { done: number; total: number; from: number; began: number; last: number };
type Stages = { hash?: Stage | undefined; upload?: Stage | undefined };
type Row = Stages & { name: string; doing: string };

export class Board {
  readonly #rows = new Map<string, Row>();

  /** What an object is at, in words, before there is anything to count. */
  setStatus(object: string, name: string, doing: string): void {
    const row = this.#rows.get(object);
    if (row) row.doing = doing;
    else this.#rows.set(object, { name, doing });
  }

  /** Answers the stage that has just begun, if one has. */
  onProgress(step: Progress, now: number): 'hash' | 'upload' | undefined {
    const object = objectName(step.pin);
    const row = this.#rows.get(object) ?? { name: step.pin.key, doing: '' };
    this.#rows.set(object, row);
    if (step.stage === 'hash') {
      const begins = row.hash === undefined;
      row.hash ??= { done: 0, total: step.pin.size, from: step.from, began: now, last: now };
      Object.assign(row.hash, { done: step.done, last: now });
      return begins ? 'hash' : undefined;
    }
    if (step.stage === 'parts') {
      const held = step.pin.size - step.missing;
      row.upload = { done: held, total: step.pin.size, from: held, began: now, last: now };
      return 'upload';
    }
    if (row.upload) {
      row.upload.done += step.bytes;
      row.upload.last = now;
    }
    return undefined;
  }

  /** The object has ended: its row goes. Answers how its stages stood, one line each. */
  remove(object: string): string[] {
    const row = this.#rows.get(object);
    this.#rows.delete(object);
    return row ? stageLines(row) : [];
  }

  /** At most `height` lines; objects that find no room are counted. */
  lines(height: number): string[] {
    const rows = [...this.#rows.values()].map(linesOf);
    const shown: string[] = [];
    let fit = 0;
    for (; fit < rows.length; fit++) {
      const next = rows[fit] ?? [];
      if (shown.length + next.length > height - 1) break;
      shown.push(...next);
    }
    const more = rows.length - fit;
    return more > 0 ? [...shown, `  … and ${more} more`] : shown;
  }
}

export const objectName = ({ bucket, key }: { bucket: string; key: string }): string =>
  `s3://${bucket}/${key}`;

function linesOf(row: Row): string[] {
  const stages = stageLines(row);
  const name = printable(row.name);
  return stages.length === 0 ? [`  ${name}: ${row.doing}`] : [`  ${name}`, ...stages];
}

const stageLines = ({ hash, upload }: Stages): string[] => [
  ...(hash ? [stageLine('hash', hash)] : []),
  ...(upload ? [stageLine('upload', upload)] : []),
];

function stageLine(name: string, { done, total, from, began, last }: Stage): string {
  const seconds = (last - began) / 1000;
  const pace = seconds > 0 ? (done - from) / seconds : 0;
  const left = done >= total ? 'done' : pace > 0 ? `${duration((total - done) / pace)} left` : '';
  const count = done >= total ? bytes(total) : `${bytes(done)} of ${bytes(total)}`;
  const fraction = total > 0 ? done / total : 1;
  return `    ${name.padEnd(8)} ${bar(fraction)} ${String(Math.floor(fraction * 100)).padStart(3)} %  ${count}  ${rate(pace)}  ${left}`;
}
