import * as v from 'valibot';
import { NonNegativeInt } from '../../schemas.ts';
import type { HeldPart } from '../../upload/plan.ts';

/**
 * The parts of a response, in 16 bytes each. A resumed object of 1 TB has a million parts; `JSON.parse` of them would take
 * hundreds of megabytes.
 */
export class PartList implements Iterable<HeldPart> {
  readonly #offsets: number[] = [];
  readonly #sizes: number[] = [];

  add({ offset, dataSize }: HeldPart): void {
    this.#offsets.push(offset);
    this.#sizes.push(dataSize);
  }

  get length(): number {
    return this.#offsets.length;
  }

  *[Symbol.iterator](): Generator<HeldPart> {
    for (const [n, offset] of this.#offsets.entries()) yield { offset, dataSize: this.#sizes[n] ?? 0 };
  }
}

const Item = v.object({ offset: NonNegativeInt, dataSize: v.pipe(NonNegativeInt, v.maxValue(2 ** 32 - 1)) });

/** The start of the list. A quote inside a JSON string is escaped, so no string contains this. */
const LIST_START = /"listParts"\s*:\s*\[/;

/** A complete item, the start of an incomplete one, or the end of the list. Items are flat objects. */
const ITEM_OR_END = /\{[^}]*\}?|\]/g;

/** Smaller chunks are joined first, so a response that arrives byte by byte is not searched once per byte. */
const CHUNK_CHARS = 64 * 1024;

/** The longest response without its parts. */
const MAX_RESPONSE_CHARS = 1024 * 1024;

/**
 * Reads a response as a stream.
 * @returns the JSON text with an empty `listParts`, and the parts
 * @throws {SyntaxError} {v.ValiError} when the list is malformed, or the response too long
 */
export async function readPartList(
  body: AsyncIterable<Uint8Array>,
): Promise<{ text: string; parts: PartList }> {
  const decoder = new TextDecoder();
  const parts = new PartList();
  let text = '';
  /** The characters of the list that are not parsed yet. */
  let list = '';
  let position: 'before' | 'inside' | 'after' = 'before';

  const parseItems = (): void => {
    let end = 0;
    for (const { 0: match, index } of list.matchAll(ITEM_OR_END)) {
      end = index;
      if (match === ']') {
        position = 'after';
        text += list.slice(end);
        list = '';
        return;
      }
      if (!match.endsWith('}')) break;
      parts.add(v.parse(Item, JSON.parse(match)));
      end += match.length;
    }
    list = list.slice(end);
  };

  const parseChunk = (chunk: string): void => {
    if (position === 'inside') list += chunk;
    else text += chunk;
    const start = position === 'before' ? LIST_START.exec(text) : null;
    if (start) {
      position = 'inside';
      list = text.slice(start.index + start[0].length);
      text = text.slice(0, start.index + start[0].length);
    }
    if (position === 'inside') parseItems();
  };

  let chunk = '';
  for await (const bytes of body) {
    chunk += decoder.decode(bytes, { stream: true });
    if (chunk.length < CHUNK_CHARS) continue;
    parseChunk(chunk);
    chunk = '';
    if (text.length + list.length > MAX_RESPONSE_CHARS)
      throw new SyntaxError(`expected at most ${MAX_RESPONSE_CHARS} characters without the parts, got more`);
  }
  parseChunk(chunk + decoder.decode());
  return { text, parts };
}
