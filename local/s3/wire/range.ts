/** Bytes `first` to `last`, both included. */
export type ByteRange = Readonly<{ first: number; last: number }>;

/**
 * What a `Range` header asks of an object of `size` bytes. Several ranges, other units and what is not well formed are
 * ignored and the whole object is sent (RFC 9110, 14.2; S3 serves one range only).
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
