import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { GenericSchema, InferOutput } from 'valibot';
import { safeParse } from 'valibot';
import { writeJson } from './write-json.ts';

/**
 * Small JSON records on disk, one file each, named by what they are about. A record is there whole or not at all, also
 * after `kill -9`: it is written beside its place and renamed into it.
 */
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

  /** All records in the order of their names. */
  all(): InferOutput<S>[] {
    const files = readdirSync(this.#dir).filter((file) => file.endsWith('.json'));
    return files.sort().flatMap((file) => this.#read(join(this.#dir, file)) ?? []);
  }

  /** A file that is no such record is somebody else's: it is left alone. */
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
      throw new RangeError(`not a record's name: ${JSON.stringify(name)}`);
    return join(this.#dir, `${name}.json`);
  }
}
