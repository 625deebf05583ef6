import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { listEntries, takeFirst } from '../../../local/s3/store/entries.ts';
import { SortedNames } from '../../../local/s3/store/sorted-names.ts';
import { failureOf, useS3 } from '../../support/local-s3.ts';

const s3 = useS3();
const Bucket = 'listed';
const KEYS = ['a', 'a/1', 'a/2', 'a/b/3', 'b', 'c/1', 'd & <e>'];

beforeAll(async () => {
  await s3.client.createBucket({ Bucket });
  for (const Key of KEYS) await s3.put(Key, { Bucket, Body: Key });
});

const list2 = (more = {}) => s3.client.listObjectsV2({ Bucket, ...more });
const list1 = (more = {}) => s3.client.listObjects({ Bucket, ...more });
const shown = (page: {
  Contents?: { Key?: string | undefined }[] | undefined;
  CommonPrefixes?: { Prefix?: string | undefined }[] | undefined;
}) => [
  ...(page.Contents ?? []).map(({ Key }) => Key),
  ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
];

describe('listings', () => {
  test('return all keys in order with their attributes', async () => {
    const page = await list2();
    expect(page).toMatchObject({ Name: Bucket, KeyCount: 7, MaxKeys: 1000, IsTruncated: false });
    expect(shown(page)).toEqual(KEYS);
    expect(page.Contents?.[1]).toMatchObject({
      Size: 3,
      StorageClass: 'STANDARD',
      ETag: expect.stringMatching(/^"[0-9a-f]{32}"$/),
      LastModified: expect.any(Date),
    });
    expect(page.Contents?.[0]?.Owner).toBe(undefined);
    expect((await list2({ FetchOwner: true })).Contents?.[0]?.Owner?.DisplayName).toBe('local');
  });

  test('group keys by prefix and delimiter', async () => {
    expect(shown(await list2({ Delimiter: '/' }))).toEqual(['a', 'b', 'd & <e>', 'a/', 'c/']);
    expect(shown(await list2({ Delimiter: '/', Prefix: 'a/' }))).toEqual(['a/1', 'a/2', 'a/b/']);
    expect(shown(await list2({ Prefix: 'a/b' }))).toEqual(['a/b/3']);
    expect(shown(await list2({ StartAfter: 'b' }))).toEqual(['c/1', 'd & <e>']);
    expect(shown(await list2({ Prefix: 'nothing' }))).toEqual([]);
  });

  test('return consecutive pages, including groups, in version 2', async () => {
    const seen: unknown[] = [];
    let page = await list2({ Delimiter: '/', MaxKeys: 2 });
    for (;;) {
      seen.push(shown(page));
      if (!page.IsTruncated) break;
      page = await list2({ Delimiter: '/', MaxKeys: 2, ContinuationToken: page.NextContinuationToken });
    }
    expect(seen).toEqual([['a', 'a/'], ['b', 'c/'], ['d & <e>']]);
    expect(await list2({ MaxKeys: 0 })).toMatchObject({ KeyCount: 0, IsTruncated: false });
    expect(await failureOf(list2({ ContinuationToken: 'made up!' }))).toBe('400 InvalidArgument');
  });

  test('return consecutive pages in version 1', async () => {
    const first = await list1({ MaxKeys: 3 });
    expect(first.NextMarker).toBe(undefined);
    expect(shown(first)).toEqual(KEYS.slice(0, 3));
    expect(shown(await list1({ Marker: 'a/2' }))).toEqual(KEYS.slice(3));
    const grouped = await list1({ Delimiter: '/', MaxKeys: 2 });
    expect(grouped.NextMarker).toBe('a/');
    expect(shown(await list1({ Delimiter: '/', Marker: 'a/' }))).toEqual(['b', 'd & <e>', 'c/']);
  });

  test('encode all names with encoding-type=url', async () => {
    const page = await list2({ EncodingType: 'url', Prefix: 'd &' });
    expect(page).toMatchObject({ EncodingType: 'url', Prefix: 'd%20%26' });
    expect(shown(page)).toEqual(['d%20%26%20%3Ce%3E']);
  });

  test('return every name once for any page size', () => {
    const name = fc
      .array(fc.constantFrom('a', 'b', '/', '😀', '\uffee'), { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { maxLength: 30 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom('', 'a', 'a/'),
        fc.constantFrom('', '/'),
        (names, most, prefix, delimiter) => {
          const sorted = new SortedNames();
          for (const each of names) sorted.add(each);
          const all = [...listEntries(sorted, { prefix, delimiter, after: '' })];
          const paged = [];
          for (let after = ''; ; ) {
            const { items, hasMore: more } = takeFirst(
              listEntries(sorted, { prefix, delimiter, after }),
              most,
            );
            paged.push(...items);
            if (!more) break;
            after = items.at(-1)?.name ?? '';
          }
          expect(paged).toEqual(all);
          const covered = names.filter(
            (each) =>
              all.filter((entry) =>
                entry.kind === 'name' ? each === entry.name : each.startsWith(entry.name),
              ).length === 1,
          );
          expect(covered.sort()).toEqual(names.filter((each) => each.startsWith(prefix)).sort());
        },
      ),
    );
  });

  test('return versions and delete markers page by page, newest first', async () => {
    const target = { Bucket: 'listed-versions' };
    await s3.client.createBucket(target);
    await s3.client.putBucketVersioning({ ...target, VersioningConfiguration: { Status: 'Enabled' } });
    const ids: (string | undefined)[] = [];
    for (const Body of ['1', '2', '3']) {
      ids.unshift((await s3.client.putObject({ ...target, Key: 'k', Body })).VersionId);
    }
    ids.unshift((await s3.client.deleteObject({ ...target, Key: 'k' })).VersionId);
    await s3.client.putObject({ ...target, Key: 'z/1', Body: 'x' });
    const list = (more = {}) => s3.client.listObjectVersions({ ...target, ...more });

    const all = await list({ Delimiter: '/' });
    expect(all.DeleteMarkers?.map(({ VersionId, IsLatest }) => [VersionId, IsLatest])).toEqual([
      [ids[0], true],
    ]);
    expect(all.Versions?.map(({ VersionId, IsLatest }) => [VersionId, IsLatest])).toEqual(
      ids.slice(1).map((id) => [id, false]),
    );
    expect(all.CommonPrefixes).toEqual([{ Prefix: 'z/' }]);
    const first = await list({ MaxKeys: 2 });
    expect(first).toMatchObject({ IsTruncated: true, NextKeyMarker: 'k', NextVersionIdMarker: ids[1] });
    const next = await list({ MaxKeys: 2, KeyMarker: 'k', VersionIdMarker: ids[1] });
    expect(next.Versions?.map(({ VersionId }) => VersionId)).toEqual(ids.slice(2));
    const current = await s3.client.listObjectsV2(target);
    expect(shown(current)).toEqual(['z/1']);
  });
});
