import { formatBar, formatBytes, formatDuration, formatRate, replaceControls } from '../../cli/format.ts';
import type { Terminal } from '../../cli/terminal.ts';
import { type Progress, watchProgress } from '../../lib/invocation/progress.ts';
import type { ObjectName } from './results.ts';

/** The bytes of a stage that are done, of which `from` were done before it started here. Times in milliseconds. */
type Stage = { done: number; total: number; from: number; startedAt: number; updatedAt: number };
type Row = { key: string; status: string; hash?: Stage; upload?: Stage };

const FRAME_MS = 100;

const WAITING = 'waiting for other objects';

/** Shows the progress of each object: bars on a terminal, otherwise a line when a stage starts. */
export class ProgressDisplay {
  readonly #terminal: Terminal;
  readonly #rows = new Map<string, Row>();
  readonly #unwatch: () => void;
  readonly #frames: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#unwatch = watchProgress((progress) => this.#onProgress(progress));
    if (terminal.isInteractive) this.#frames = setInterval(() => this.#draw(), FRAME_MS);
  }

  /** Sets the status that is shown until the next stage starts. */
  setStatus(object: ObjectName, status: string): void {
    const row = this.#rowOf(object);
    if (row.status !== status) this.#printStep(object, status);
    row.status = status;
  }

  /** Removes a finished object. @returns one line for each of its stages */
  remove(object: ObjectName): string[] {
    const row = this.#rows.get(uriOf(object));
    this.#rows.delete(uriOf(object));
    this.#draw();
    return row ? stageLines(row) : [];
  }

  close(): void {
    this.#unwatch();
    clearInterval(this.#frames);
  }

  #rowOf(object: ObjectName): Row {
    const uri = uriOf(object);
    const row = this.#rows.get(uri) ?? { key: object.key, status: '' };
    this.#rows.set(uri, row);
    return row;
  }

  #onProgress(progress: Progress): void {
    const { pin: object, stage } = progress;
    const row = this.#rowOf(object);
    const now = performance.now();
    if (stage === 'wait') {
      this.setStatus(object, WAITING);
      return;
    }
    row.status = '';
    if (stage === 'part') {
      // A part that is sent again counts once.
      const done = Math.min(object.size, (row.upload?.done ?? 0) + progress.bytes);
      if (row.upload) Object.assign(row.upload, { done, updatedAt: now });
    } else if (stage === 'parts') {
      const from = object.size - progress.missing;
      row.upload = { done: from, total: object.size, from, startedAt: now, updatedAt: now };
      this.#printStep(object, `uploading ${formatBytes(progress.missing)} of ${formatBytes(object.size)}`);
    } else {
      if (!row.hash) this.#printStep(object, `hashing ${formatBytes(object.size)}`);
      row.hash ??= { done: 0, total: object.size, from: progress.from, startedAt: now, updatedAt: now };
      Object.assign(row.hash, { done: progress.done, updatedAt: now });
    }
  }

  #printStep({ key }: ObjectName, step: string): void {
    if (!this.#terminal.isInteractive) this.#terminal.printError(`${replaceControls(key)}: ${step}`);
  }

  /** Draws the rows that fit, and the number of those that do not. */
  #draw(): void {
    if (!this.#terminal.isInteractive) return;
    const height = this.#terminal.height();
    const lines: string[] = [];
    let shown = 0;
    for (const row of this.#rows.values()) {
      const next = rowLines(row);
      if (lines.length + next.length > height - 1) break;
      lines.push(...next);
      shown++;
    }
    const hidden = this.#rows.size - shown;
    if (hidden > 0) lines.push(`  … and ${hidden} more`);
    this.#terminal.showProgress(lines.join('\n'));
  }
}

const uriOf = ({ bucket, key }: ObjectName): string => `s3://${bucket}/${key}`;

function rowLines(row: Row): string[] {
  const stages = stageLines(row);
  const name = replaceControls(row.key);
  return [row.status ? `  ${name}: ${row.status}` : `  ${name}`, ...stages];
}

const stageLines = ({ hash, upload }: Row): string[] => [
  ...(hash ? [stageLine('hash', hash)] : []),
  ...(upload ? [stageLine('upload', upload)] : []),
];

function stageLine(name: string, { done, total, from, startedAt, updatedAt }: Stage): string {
  const seconds = (updatedAt - startedAt) / 1000;
  const bytesPerSecond = seconds > 0 ? (done - from) / seconds : 0;
  const isDone = done >= total;
  const left = bytesPerSecond > 0 ? `${formatDuration((total - done) / bytesPerSecond)} left` : '';
  const fraction = total > 0 ? done / total : 1;
  return [
    `    ${name.padEnd(8)} ${formatBar(fraction)} ${String(Math.floor(fraction * 100)).padStart(3)} %`,
    isDone ? formatBytes(total) : `${formatBytes(done)} of ${formatBytes(total)}`,
    formatRate(bytesPerSecond),
    isDone ? 'done' : left,
  ].join('  ');
}
