import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, unlink, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { listNames } from './disk.ts';
import type { Piece } from './record.ts';

const READ_AHEAD = 256 * 1024;

const idle: Buffer[] = [];
const takeBuffer = (): Buffer => idle.pop() ?? Buffer.allocUnsafeSlow(READ_AHEAD);

/**
 * Files that are written once and never changed. Objects, parts of uploads, copies and readers share them: a blob goes
 * when the last of those lets go, so an overwritten object can still be read to its end by whoever began.
 */
export class Blobs {
  readonly #dir: string;
  readonly #uses = new Map<string, number>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Writes a new blob, held by the caller until it is disposed of. Nothing stays behind when `bytes` throws. */
  async write(bytes: AsyncIterable<Buffer>): Promise<PendingBlob> {
    const blob = randomUUID();
    const file = createWriteStream(this.#path(blob), { flags: 'wx', highWaterMark: 4 * READ_AHEAD });
    this.#retain(blob);
    try {
      await pipeline(bytes, file);
    } catch (error) {
      // Before that the file may not even be there yet, and would outlive its removal.
      if (!file.closed) await new Promise<void>((closed) => file.once('close', () => closed()));
      this.#release(blob);
      throw error;
    }
    const size = file.bytesWritten;
    const pieces = size === 0 ? [] : [{ blob, offset: 0, size }];
    return { pieces, [Symbol.dispose]: () => this.#release(blob) };
  }

  retain(pieces: readonly Piece[]): void {
    for (const { blob } of pieces) this.#retain(blob);
  }

  release(pieces: readonly Piece[]): void {
    for (const { blob } of pieces) this.#release(blob);
  }

  /** Keeps bytes in place while somebody works on them. */
  hold(pieces: readonly Piece[]): Disposable {
    this.retain(pieces);
    return { [Symbol.dispose]: () => this.release(pieces) };
  }

  async *read(pieces: readonly Piece[]): AsyncGenerator<Buffer> {
    for (const piece of pieces) yield* this.#open(piece);
  }

  /**
   * Sends bytes as fast as `out` takes them, and ends it. Two buffers take turns, one being read into while the other is
   * sent: a file's stream would make a new one for each chunk.
   */
  async send(pieces: readonly Piece[], out: Writable): Promise<void> {
    const gone = finished(out);
    gone.catch(() => {}); // is told by what waits for it
    const written = (bytes: Buffer): Promise<void> =>
      new Promise((resolve, reject) => void out.write(bytes, (error) => (error ? reject(error) : resolve())));
    let [free, full] = [takeBuffer(), takeBuffer()];
    let sent: Promise<unknown> = Promise.resolve();
    for (const { blob, offset, size } of pieces) {
      await using file = await open(this.#path(blob));
      for (let at = 0; at < size; ) {
        const { bytesRead } = await file.read(free, 0, Math.min(READ_AHEAD, size - at), offset + at);
        if (bytesRead === 0) throw new Error(`blob ${blob} ends after ${offset + at} bytes`);
        at += bytesRead;
        await sent;
        sent = Promise.race([written(free.subarray(0, bytesRead)), gone]);
        sent.catch(() => {});
        [free, full] = [full, free];
      }
    }
    await sent;
    out.end();
    await gone;
    idle.push(free, full); // not where it broke off: the system may still be reading from them
  }

  /** Removes what nothing refers to: an upload that was cut off by a kill, a blob whose last user went with it. */
  sweep(): void {
    for (const name of listNames(this.#dir)) if (!this.#uses.has(name)) unlinkSync(this.#path(name));
  }

  #open({ blob, offset, size }: Piece): AsyncIterable<Buffer> & NodeJS.ReadableStream {
    return createReadStream(this.#path(blob), {
      start: offset,
      end: offset + size - 1,
      highWaterMark: READ_AHEAD,
    });
  }

  #retain(blob: string): void {
    this.#uses.set(blob, (this.#uses.get(blob) ?? 0) + 1);
  }

  #release(blob: string): void {
    const left = (this.#uses.get(blob) ?? 0) - 1;
    if (left > 0) {
      this.#uses.set(blob, left);
      return;
    }
    this.#uses.delete(blob);
    // In the background: freeing many GiB takes a while. What fails here is swept at the next start.
    unlink(this.#path(blob), () => {});
  }

  #path(blob: string): string {
    return join(this.#dir, blob);
  }
}

/** A blob that nothing refers to yet. */
export type PendingBlob = Disposable & Readonly<{ pieces: readonly Piece[] }>;

/** The pieces that hold `length` bytes from `first` on. */
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
