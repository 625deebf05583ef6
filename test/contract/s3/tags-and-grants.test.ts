import { beforeEach, describe, expect, test } from 'vitest';
import { BUCKET, failureOf, useS3 } from '../../support/local-s3.ts';

const s3 = useS3();
const target = { Bucket: BUCKET, Key: 'object' };
const ALL_USERS = 'http://acs.amazonaws.com/groups/global/AllUsers';

beforeEach(async () => {
  await s3.client.putObject({ ...target, Body: 'x', Tagging: 'first=1' });
});

const putTags = (tags: Record<string, string>) =>
  s3.client.putObjectTagging({
    ...target,
    Tagging: { TagSet: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) },
  });
const getTags = async () => (await s3.client.getObjectTagging(target)).TagSet;

const grants = async () => {
  const { Grants = [], Owner } = await s3.client.getObjectAcl(target);
  return Grants.map(({ Grantee, Permission }) => {
    const who = Grantee?.ID === Owner?.ID ? 'owner' : (Grantee?.ID ?? Grantee?.URI ?? Grantee?.EmailAddress);
    return `${Grantee?.Type} ${who} ${Permission}`;
  });
};
const OWNER_HAS_ALL = 'CanonicalUser owner FULL_CONTROL';

describe('tags', () => {
  test('are added, replaced, and removed without changing the object', async () => {
    const before = await s3.client.headObject(target);
    expect(await getTags()).toEqual([{ Key: 'first', Value: '1' }]);
    await putTags({ 'a b': 'é+-=._:/@', ü: '' });
    expect(await getTags()).toEqual([
      { Key: 'a b', Value: 'é+-=._:/@' },
      { Key: 'ü', Value: '' },
    ]);
    const after = await s3.client.headObject(target);
    expect(after).toMatchObject({ ETag: before.ETag, LastModified: before.LastModified, TagCount: 2 });
    await putTags({});
    expect(await getTags()).toEqual([]);
    await putTags({ a: '1' });
    await s3.client.deleteObjectTagging(target);
    expect(await getTags()).toEqual([]);
  });

  test('are limited in number and length', async () => {
    const eleven = Object.fromEntries(Array.from({ length: 11 }, (_, at) => [`t${at}`, '']));
    expect(await failureOf(putTags(eleven))).toBe('400 InvalidTag');
    expect(await failureOf(putTags({ ['k'.repeat(129)]: '' }))).toBe('400 InvalidTag');
    expect(await failureOf(putTags({ k: 'v'.repeat(257) }))).toBe('400 InvalidTag');
    for (const text of ['<', '&', '*', 'a,b', 'line\nbreak', '\u{1f3ac}']) {
      expect(await failureOf(putTags({ [text]: '' }))).toBe('400 InvalidTag');
      expect(await failureOf(putTags({ k: text }))).toBe('400 InvalidTag');
    }
    expect(await failureOf(putTags({ 'aws:key': '' }))).toBe('400 InvalidTag');
    const TagSet = [
      { Key: 'same', Value: '1' },
      { Key: 'same', Value: '2' },
    ];
    const twice = s3.client.putObjectTagging({ ...target, Tagging: { TagSet } });
    expect(await failureOf(twice)).toBe('400 InvalidTag');
  });
});

describe('tags in a header', () => {
  test.each([
    ['a=x%20y&b%2Fc=%C3%BC', { a: 'x y', 'b/c': 'ü' }],
    ['a=x+y', { a: 'x+y' }],
    ['a', { a: '' }],
    ['a=b=c', { a: 'b=c' }],
    ['', {}],
  ])('%s are decoded, and a plus is a plus', async (Tagging, expected) => {
    await s3.client.putObject({ ...target, Body: 'x', Tagging });
    const found = (await getTags())?.map(({ Key, Value }) => [Key, Value]) ?? [];
    expect(Object.fromEntries(found)).toEqual(expected);
  });

  test.each([
    ['a=%', 'InvalidArgument'],
    ['a=%ff', 'InvalidArgument'],
    ['a=<', 'InvalidTag'],
    ['a=1&a=2', 'InvalidTag'],
    ['=1', 'InvalidTag'],
  ])('%s are rejected', async (Tagging, code) => {
    expect(await failureOf(s3.client.putObject({ ...target, Body: 'x', Tagging }))).toBe(`400 ${code}`);
  });
});

describe('grants', () => {
  test('are private by default', async () => {
    expect(await grants()).toEqual([OWNER_HAS_ALL]);
    await s3.client.putObjectAcl({ ...target, ACL: 'public-read' });
    expect(await grants()).toEqual([OWNER_HAS_ALL, `Group ${ALL_USERS} READ`]);
  });

  test('can be set with headers, with the object or later', async () => {
    const GrantRead = `uri="${ALL_USERS}", id="abc"`;
    await s3.client.putObject({ ...target, Body: 'x', GrantRead });
    const expected = [`Group ${ALL_USERS} READ`, 'CanonicalUser abc READ'];
    expect(await grants()).toEqual(expected);
    await s3.client.putObjectAcl({ ...target, GrantReadACP: 'emailAddress="a@b.c"' });
    expect(await grants()).toEqual(['AmazonCustomerByEmail a@b.c READ_ACP']);
  });

  test('can be read and written back', async () => {
    await s3.client.putObjectAcl({ ...target, ACL: 'authenticated-read' });
    const before = await grants();
    const { Grants, Owner } = await s3.client.getObjectAcl(target);
    await s3.client.putObjectAcl({ ...target, ACL: 'private' });
    await s3.client.putObjectAcl({ ...target, AccessControlPolicy: { Grants, Owner } });
    expect(await grants()).toEqual(before);
  });
});
