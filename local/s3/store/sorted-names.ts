/** Keys in the order in which S3 lists them: by their UTF-8 bytes. */
export class SortedNames {
  readonly #names: string[] = [];

  get size(): number {
    return this.#names.length;
  }

  add(name: string): void {
    const at = this.#find(name);
    if (this.#names[at] !== name) this.#names.splice(at, 0, name);
  }

  remove(name: string): void {
    const at = this.#find(name);
    if (this.#names[at] === name) this.#names.splice(at, 1);
  }

  /** Names starting at `start`, inclusive. */
  *from(start: string): Generator<string> {
    for (let at = this.#find(start); at < this.#names.length; at++) yield this.#names[at] ?? '';
  }

  /** The index of `name`, or the index to insert it at. */
  #find(name: string): number {
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareUtf8(this.#names[middle] ?? '', name) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * Compares by UTF-8 bytes. JavaScript compares UTF-16 units, which sorts U+10000 and above (surrogates) before
 * U+E000..U+FFFF.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

const rank = (unit: number): number =>
  unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
