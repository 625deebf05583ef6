import { compareUtf8, type SortedNames } from './sorted-names.ts';

export type Entry = Readonly<{ kind: 'name' | 'group'; name: string }>;

type EntryQuery = Readonly<{
  prefix: string;
  /** '' disables grouping. */
  delimiter: string;
  /** Entries start after this name, or after all names of this group. */
  after: string;
  /** Includes `after` itself. */
  inclusive?: boolean;
}>;

/**
 * Lists names in order. Names with the same text between the prefix and the first delimiter form one entry, a group (S3:
 * common prefix): https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-prefixes.html
 */
export function* listEntries(
  names: SortedNames,
  { prefix, delimiter, after, inclusive = false }: EntryQuery,
): Generator<Entry> {
  let group = findGroup(after, prefix, delimiter) === after && after !== '' ? after : undefined;
  for (const name of names.from(compareUtf8(after, prefix) > 0 ? after : prefix)) {
    if (!name.startsWith(prefix)) return;
    if (name === after && !inclusive) continue;
    if (group !== undefined && name.startsWith(group)) continue;
    group = findGroup(name, prefix, delimiter);
    yield group === undefined ? { kind: 'name', name } : { kind: 'group', name: group };
  }
}

/** Returns the first `max` items and whether more exist. For `max` 0, S3 reports that none do. */
export function takeFirst<T>(
  items: Iterable<T>,
  max: number,
): Readonly<{ items: readonly T[]; hasMore: boolean }> {
  const taken: T[] = [];
  for (const item of items) {
    if (taken.length >= max) return { items: taken, hasMore: max > 0 };
    taken.push(item);
  }
  return { items: taken, hasMore: false };
}

function findGroup(name: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '' || !name.startsWith(prefix)) return undefined;
  const at = name.indexOf(delimiter, prefix.length);
  return at < 0 ? undefined : name.slice(0, at + delimiter.length);
}
