import { appendFileSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';

/**
 * The events of the bucket as they came, to be replayed. Two files of JSON lines: when the newer one is full it takes the
 * older one's place, so that there is always one file's worth, and never more than two.
 */

const MAX_BYTES = 8 * 1024 * 1024;

const Line = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ time: v.number(), event: v.optional(v.unknown()) }),
);

export type ArchivedEvent = Readonly<{ time: number; event: unknown }>;

export class EventArchive {
  readonly #newer: string;
  readonly #older: string;
  readonly #maxBytes: number;
  #bytes: number;

  constructor(dir: string, maxBytes = MAX_BYTES) {
    mkdirSync(dir, { recursive: true });
    this.#newer = join(dir, 'newer.jsonl');
    this.#older = join(dir, 'older.jsonl');
    this.#maxBytes = maxBytes;
    const held = statSync(this.#newer, { throwIfNoEntry: false })?.size;
    this.#bytes = held ?? this.#begin();
    // A killed process may have left half a line: the next one shall not be joined to it.
    if (held) appendFileSync(this.#newer, '\n');
  }

  /** On disk when it returns. */
  append(event: unknown): void {
    if (this.#bytes >= this.#maxBytes) {
      renameSync(this.#newer, this.#older);
      this.#bytes = this.#begin();
    }
    const line = `${JSON.stringify({ time: Date.now(), event })}\n`;
    appendFileSync(this.#newer, line);
    this.#bytes += Buffer.byteLength(line);
  }

  /** Milliseconds; every event since then is there. */
  get startTime(): number {
    return this.#lines()[0]?.time ?? Date.now();
  }

  /** In the order in which they came. */
  all(): ArchivedEvent[] {
    return this.#lines().flatMap(({ time, event }) => (event === undefined ? [] : [{ time, event }]));
  }

  /** The first line only says since when the file is kept. */
  #begin(): number {
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
          return line.success ? [line.output] : []; // half a line, of a killed process
        }),
    );
  }
}
