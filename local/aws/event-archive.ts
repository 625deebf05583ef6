import { appendFileSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';

const MAX_FILE_BYTES = 8 * 1024 * 1024;

const Line = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ time: v.number(), event: v.optional(v.unknown()) }),
);

/** `time`: milliseconds since 1970. */
export type ArchivedEvent = Readonly<{ time: number; event: unknown }>;

/**
 * Stores the bucket's events in order of arrival, for replays. There are two files of JSON lines. When the newer file is
 * full, it replaces the older one. The archive therefore holds at least one full file, and at most two.
 */
export class EventArchive {
  readonly #newer: string;
  readonly #older: string;
  readonly #maxBytes: number;
  #bytes: number;

  constructor(dir: string, maxBytes = MAX_FILE_BYTES) {
    mkdirSync(dir, { recursive: true });
    this.#newer = join(dir, 'newer.jsonl');
    this.#older = join(dir, 'older.jsonl');
    this.#maxBytes = maxBytes;
    const size = statSync(this.#newer, { throwIfNoEntry: false })?.size;
    this.#bytes = size ?? this.#startFile();
    // A killed process can leave half a line. The next event must not continue that line.
    if (size) appendFileSync(this.#newer, '\n');
  }

  /** The event is on disk when this returns. */
  append(event: unknown): void {
    if (this.#bytes >= this.#maxBytes) {
      renameSync(this.#newer, this.#older);
      this.#bytes = this.#startFile();
    }
    const line = `${JSON.stringify({ time: Date.now(), event })}\n`;
    appendFileSync(this.#newer, line);
    this.#bytes += Buffer.byteLength(line);
  }

  /** Milliseconds since 1970. The archive contains every event from this time on. */
  get startTime(): number {
    return this.#lines()[0]?.time ?? Date.now();
  }

  /** All events, in order of arrival. */
  all(): ArchivedEvent[] {
    return this.#lines().flatMap(({ time, event }) => (event === undefined ? [] : [{ time, event }]));
  }

  /** The first line of a file has only a time: the file contains every event since then. */
  #startFile(): number {
    const line = `${JSON.stringify({ time: Date.now() })}\n`;
    writeFileSync(this.#newer, line);
    return Buffer.byteLength(line);
  }

  #lines(): v.InferOutput<typeof Line>[] {
    return [this.#older, this.#newer].flatMap((file) =>
      (statSync(file, { throwIfNoEntry: false }) ? readFileSync(file, 'utf8') : '')
        .split('\n')
        .flatMap((text) => {
          const line = v.safeParse(Line, text);
          return line.success ? [line.output] : []; // half a line of a killed process
        }),
    );
  }
}
