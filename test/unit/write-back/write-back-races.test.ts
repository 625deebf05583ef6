import { GetObjectAclCommand } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createS3Client } from '../../../lib/s3/client.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { BUCKET, useStore } from '../../support/fake-store.ts';
import { failureOf, never, sha1, storedAs } from '../../support/values.ts';

/** What a write-back must not touch: another writer's object, a group's rights, an object whose metadata is full. */

const store = useStore();
const FILE = storedAs('film');

test("S3's SHA-1 is another, and somebody overwrites the object meanwhile: theirs stays as they put it", async () => {
  await store.put(BUCKET, 'raced.mp4', 'film', { Metadata: { ours: '1' } });
  const { pin } = await store.find(BUCKET, 'raced.mp4');
  const s3 = createS3Client({ endpoint: store.endpoint() });
  onTestFinished(() => s3.destroy());
  let copies = 0;
  s3.middlewareStack.add((next, { commandName }) => async (args) => {
    const answer = await next(args);
    if (commandName !== 'CopyObjectCommand' || ++copies > 1) return answer;
    await store.put(BUCKET, 'raced.mp4', 'their film', { Metadata: { theirs: '1' } });
    const ChecksumSHA1 = Buffer.from(sha1('other bytes'), 'hex').toString('base64');
    const { output } = answer;
    const said = 'CopyObjectResult' in output ? output.CopyObjectResult : {};
    const CopyObjectResult = { ...said, ChecksumSHA1, ChecksumType: 'FULL_OBJECT' };
    return { ...answer, output: { ...output, CopyObjectResult } };
  });
  expect(['ContentMismatch', 'ObjectChanged']).toContain(
    (await failureOf(writeBack(s3, pin, FILE, never))).name,
  );
  expect((await store.find(BUCKET, 'raced.mp4')).metadata).toEqual({ theirs: '1' });
});

// A group has no ID of its own: it was once taken for the owner, and its rights were lost.
test.each([
  ['alone', { GrantFullControl: 'uri="http://acs.amazonaws.com/groups/global/AuthenticatedUsers"' }],
  [
    'beside a user',
    { GrantFullControl: 'uri="http://acs.amazonaws.com/groups/global/AuthenticatedUsers", id="abc"' },
  ],
])('a group in full control, %s, stays so', async (_, grants) => {
  await store.put(BUCKET, 'group.mp4', 'film', grants);
  const { pin } = await store.find(BUCKET, 'group.mp4');
  const grantsNow = async () =>
    (await store.client.send(new GetObjectAclCommand({ Bucket: BUCKET, Key: 'group.mp4' }))).Grants;
  const before = await grantsNow();
  await writeBack(store.client, pin, FILE, never);
  expect(await grantsNow()).toEqual(before);
});

describe('metadata is at most 2,048 bytes', () => {
  const ours = async (): Promise<number> => {
    await store.put(BUCKET, 'measure.mp4', 'film');
    await writeBack(store.client, (await store.find(BUCKET, 'measure.mp4')).pin, FILE, never);
    const { metadata } = await store.find(BUCKET, 'measure.mp4');
    return Object.entries(metadata).flat().join('').length;
  };

  test('which may be used to the last byte, and not beyond', async () => {
    const room = 2048 - (await ours()) - 'note'.length;
    const write = async (length: number) => {
      await store.put(BUCKET, 'full.mp4', 'film', { Metadata: { note: 'x'.repeat(length) } });
      return failureOf(writeBack(store.client, (await store.find(BUCKET, 'full.mp4')).pin, FILE, never));
    };
    expect(await write(room)).toMatchObject({ name: 'no error' });
    const refused = await write(room + 1);
    expect(refused.name).toBe('UnsupportedObject');
    expect(refused.message).toContain(`s3://${BUCKET}/full.mp4`);
    expect(refused.message).toContain('2049 bytes');
    expect((await store.find(BUCKET, 'full.mp4')).metadata).toEqual({ note: 'x'.repeat(room + 1) });
  });
});
