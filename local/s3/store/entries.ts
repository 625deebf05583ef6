import { compareUtf8, type SortedNames } from './sorted-names.ts';

export type Entry = Readonly<{ kind: 'name' | 'group'; name: string }>;

type Asked = Readonly<{
  prefix: string;
  /** '' where names are not to be grouped. */
  delimiter: string;
  /** Names after this one, and after all of its group where it is one. */
  after: string;
  /** List `after` itself too. */
  inclusive?: boolean;
}>;

/**
 * Names in order. Those that share what goes from the prefix to the first delimiter are one entry, a group (S3: common
 * prefix): https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-prefixes.html
 */
export function* entriesOf(
  names: SortedNames,
  { prefix, delimiter, after, inclusive = false }: Asked,
): Generator<Entry> {
  let group = groupOf(after, prefix, delimiter) === after && after !== '' ? after : undefined;
  for (const name of names.from(compareUtf8(after, prefix) > 0 ? after : prefix)) {
    if (!name.startsWith(prefix)) return;
    if (name === after && !inclusive) continue;
    if (group !== undefined && name.startsWith(group)) continue;
    group = groupOf(name, prefix, delimiter);
    yield group === undefined ? { kind: 'name', name } : { kind: 'group', name: group };
  }
}

/** The first `most` items, and whether there are more. S3 says no to that when nothing was asked for. */
export function firstOf<T>(
  items: Iterable<T>,
  most: number,
): Readonly<{ items: readonly T[]; more: boolean }> {
  const taken: T[] = [];
  if (most === 0) return { items: taken, more: false };
  for (const item of items) {
    if (taken.length === most) return { items: taken, more: true };
    taken.push(item);
  }
  return { items: taken, more: false };
}

function groupOf(name: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '' || !name.startsWith(prefix)) return undefined;
  const at = name.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : name.slice(0, at + delimiter.length);
}
