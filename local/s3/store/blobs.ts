import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, unlink, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { listNames } from './disk.ts';
import type { Piece } from './record.ts';

const READ_BYTES = 256 * 1024;

const idle: Buffer[] = [];
const acquireBuffer = (): Buffer => idle.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * Files that are written once and never change. Objects, parts, copies, and readers share them, counted by reference.
 * The last release deletes a blob, so a reader that started before an overwrite still gets all bytes.
 */
export class Blobs {
  readonly #dir: string;
  readonly #discards: boolean;
  readonly #references = new Map<string, number>();

  constructor(dir: string, discards = false) {
    this.#dir = dir;
    this.#discards = discards;
  }

  /** Writes a new blob, which the caller holds until disposal. Leaves no file if `bytes` throws. */
  async write(bytes: AsyncIterable<Buffer>): Promise<PendingBlob> {
    const blob = randomUUID();
    if (this.#discards) return this.#discard(blob, bytes);
    const file = createWriteStream(this.#path(blob), { flags: 'wx', highWaterMark: 4 * READ_BYTES });
    this.#retain(blob);
    try {
      await pipeline(bytes, file);
    } catch (error) {
      // Before `close`, the file may not exist yet; it would appear after its removal.
      if (!file.closed) await new Promise<void>((closed) => file.once('close', () => closed()));
      this.#release(blob);
      throw error;
    }
    return this.#pend(blob, file.bytesWritten);
  }

  async #discard(blob: string, bytes: AsyncIterable<Buffer>): Promise<PendingBlob> {
    let size = 0;
    for await (const chunk of bytes) size += chunk.length;
    this.#retain(blob);
    return this.#pend(blob, size);
  }

  #pend(blob: string, size: number): PendingBlob {
    const pieces = size === 0 ? [] : [{ blob, offset: 0, size }];
    return { pieces, [Symbol.dispose]: () => this.#release(blob) };
  }

  retain(pieces: readonly Piece[]): void {
    for (const { blob } of pieces) this.#retain(blob);
  }

  release(pieces: readonly Piece[]): void {
    for (const { blob } of pieces) this.#release(blob);
  }

  /** Retains the bytes until disposal. */
  hold(pieces: readonly Piece[]): Disposable {
    this.retain(pieces);
    return { [Symbol.dispose]: () => this.release(pieces) };
  }

  async *read(pieces: readonly Piece[]): AsyncGenerator<Buffer> {
    for (const { blob, offset, size } of pieces) {
      const range = { start: offset, end: offset + size - 1 };
      yield* createReadStream(this.#path(blob), { ...range, highWaterMark: READ_BYTES });
    }
  }

  /**
   * Writes the bytes to `out` and ends it. Two buffers alternate: one is read into while the other is sent. A file stream
   * would allocate a new buffer for each chunk.
   */
  async send(pieces: readonly Piece[], out: Writable): Promise<void> {
    const ended = finished(out);
    ended.catch(() => {}); // handled where it is awaited
    const write = (bytes: Buffer): Promise<void> =>
      new Promise((resolve, reject) => void out.write(bytes, (error) => (error ? reject(error) : resolve())));
    let [free, full] = [acquireBuffer(), acquireBuffer()];
    let sent: Promise<unknown> = Promise.resolve();
    for (const { blob, offset, size } of pieces) {
      await using file = await open(this.#path(blob));
      for (let at = 0; at < size; ) {
        const { bytesRead } = await file.read(free, 0, Math.min(READ_BYTES, size - at), offset + at);
        if (bytesRead === 0) throw new Error(`blob ${blob} ends after ${offset + at} bytes`);
        at += bytesRead;
        await sent;
        sent = Promise.race([write(free.subarray(0, bytesRead)), ended]);
        sent.catch(() => {});
        [free, full] = [full, free];
      }
    }
    await sent;
    out.end();
    await ended;
    idle.push(free, full); // not after an error: the system may still read from them
  }

  /** Deletes blobs without references, which a killed process left. */
  sweep(): void {
    for (const name of listNames(this.#dir)) if (!this.#references.has(name)) unlinkSync(this.#path(name));
  }

  #retain(blob: string): void {
    this.#references.set(blob, (this.#references.get(blob) ?? 0) + 1);
  }

  #release(blob: string): void {
    const left = (this.#references.get(blob) ?? 0) - 1;
    if (left > 0) return void this.#references.set(blob, left);
    this.#references.delete(blob);
    // In the background: freeing many GiB takes time. The next start sweeps what fails here.
    unlink(this.#path(blob), () => {});
  }

  #path(blob: string): string {
    return join(this.#dir, blob);
  }
}

/** A blob without references except the one of its writer, which disposal releases. */
export type PendingBlob = Disposable & Readonly<{ pieces: readonly Piece[] }>;

/** The pieces that contain `length` bytes starting at offset `first`. */
export function slice(pieces: readonly Piece[], first: number, length: number): Piece[] {
  const found: Piece[] = [];
  let skip = first;
  let left = length;
  for (const { blob, offset, size } of pieces) {
    if (left === 0) break;
    if (skip >= size) {
      skip -= size;
      continue;
    }
    const taken = Math.min(size - skip, left);
    found.push({ blob, offset: offset + skip, size: taken });
    skip = 0;
    left -= taken;
  }
  return found;
}
