import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { GenericSchema, InferOutput } from 'valibot';
import { safeParse } from 'valibot';
import { writeJson } from './write-json.ts';

/** Stores small JSON records in a folder, one file per record. A record is complete or absent, also after `kill -9`. */
export class JsonStore<const S extends GenericSchema> {
  readonly #dir: string;
  readonly #schema: S;

  constructor(dir: string, schema: S) {
    this.#dir = dir;
    this.#schema = schema;
    mkdirSync(dir, { recursive: true });
  }

  get(name: string): InferOutput<S> | undefined {
    const file = this.#file(name);
    return existsSync(file) ? this.#read(file) : undefined;
  }

  put(name: string, record: InferOutput<S>): void {
    writeJson(this.#file(name), record);
  }

  delete(name: string): void {
    rmSync(this.#file(name), { force: true });
  }

  /** Returns all records in the order of their names. */
  all(): InferOutput<S>[] {
    const files = readdirSync(this.#dir).filter((file) => file.endsWith('.json'));
    return files.sort().flatMap((file) => this.#read(join(this.#dir, file)) ?? []);
  }

  /** Ignores a file that does not match the schema. Another program may have written it. */
  #read(file: string): InferOutput<S> | undefined {
    try {
      const parsed = safeParse(this.#schema, JSON.parse(readFileSync(file, 'utf8')));
      return parsed.success ? parsed.output : undefined;
    } catch {
      return undefined;
    }
  }

  #file(name: string): string {
    if (!/^[A-Za-z0-9._-]{1,120}$/.test(name))
      throw new RangeError(`record name ${JSON.stringify(name)}: expected 1 to 120 of A-Z a-z 0-9 . _ -`);
    return join(this.#dir, `${name}.json`);
  }
}
