import * as v from 'valibot';
import type { HeldPart } from '../upload/plan.ts';

/**
 * The parts that a reply lists, read as they come. A resumed object of 1 TB lists a million: parsed as one text they would
 * take hundreds of megabytes, here 12 bytes each.
 */
export class PartList implements Iterable<HeldPart> {
  #offsets = new Float64Array(1024);
  #sizes = new Uint32Array(1024);
  length = 0;

  add({ offset, dataSize }: HeldPart): void {
    if (this.length === this.#offsets.length) {
      this.#offsets = grow(this.#offsets, new Float64Array(this.length * 2));
      this.#sizes = grow(this.#sizes, new Uint32Array(this.length * 2));
    }
    this.#offsets[this.length] = offset;
    this.#sizes[this.length] = dataSize;
    this.length++;
  }

  *[Symbol.iterator](): Generator<HeldPart> {
    for (let n = 0; n < this.length; n++)
      yield { offset: this.#offsets[n] ?? 0, dataSize: this.#sizes[n] ?? 0 };
  }
}

function grow<T extends Float64Array | Uint32Array>(from: T, into: T): T {
  into.set(from);
  return into;
}

const Item = v.object({
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  dataSize: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(2 ** 32 - 1)),
});

/** Within a JSON string a quote is escaped, so no string can hold this. */
const LIST_BEGINS = /"listParts"\s*:\s*\[/;

/** Characters that are looked at together: a reply that comes byte by byte is not searched byte by byte, again and again. */
const CHUNK_CHARS = 64 * 1024;

/** More than a reply is without its list, characters. */
const MAX_RESPONSE_CHARS = 1024 * 1024;

/**
 * Reads a reply: the JSON text around its `listParts`, and the parts themselves. The list's items are flat objects, so each
 * ends at its first closing brace.
 * @throws {SyntaxError} {v.ValiError} where the text is no such reply
 */
export async function readPartList(
  body: AsyncIterable<Uint8Array>,
): Promise<{ text: string; parts: PartList }> {
  const decoder = new TextDecoder();
  const parts = new PartList();
  let text = '';
  let carry = '';
  let where: 'before' | 'within' | 'after' = 'before';

  const within = (): void => {
    let at = 0;
    for (;;) {
      const opens = carry.indexOf('{', at);
      const ends = carry.indexOf(']', at);
      if (ends >= 0 && (opens < 0 || ends < opens)) {
        where = 'after';
        text += carry.slice(ends);
        carry = '';
        return;
      }
      const closes = opens < 0 ? -1 : carry.indexOf('}', opens);
      if (closes < 0) break;
      parts.add(v.parse(Item, JSON.parse(carry.slice(opens, closes + 1))));
      at = closes + 1;
    }
    carry = carry.slice(at);
  };

  const take = (chunk: string): void => {
    if (where === 'within') carry += chunk;
    else text += chunk;
    const begins = where === 'before' ? LIST_BEGINS.exec(text) : null;
    if (begins) {
      where = 'within';
      const listed = begins.index + begins[0].length;
      carry = text.slice(listed);
      text = text.slice(0, listed);
    }
    if (where === 'within') within();
  };

  let waiting = '';
  for await (const chunk of body) {
    waiting += decoder.decode(chunk, { stream: true });
    if (waiting.length < CHUNK_CHARS) continue;
    take(waiting);
    waiting = '';
    if (text.length + carry.length > MAX_RESPONSE_CHARS)
      throw new SyntaxError(`a reply of more than ${MAX_RESPONSE_CHARS} characters`);
  }
  take(waiting + decoder.decode());
  return { text, parts };
}
