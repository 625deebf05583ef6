/** Bytes `first` to `last`, both inclusive. */
export type ByteRange = Readonly<{ first: number; last: number }>;

/**
 * Reads the `Range` header of a GET of an object of `size` bytes. Returns `whole` for several ranges, other units, and
 * malformed headers (RFC 9110, 14.2; S3 serves a single range only).
 */
export function readRange(header: string | undefined, size: number): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  const [, from = '', to = ''] = match ?? [];
  if (from === '' && to === '') return 'whole';
  if (from === '') {
    const length = Math.min(Number(to), size);
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  if (to !== '' && Number(to) < first) return 'whole';
  if (first >= size) return 'unsatisfiable';
  return { first, last: to === '' ? size - 1 : Math.min(Number(to), size - 1) };
}
