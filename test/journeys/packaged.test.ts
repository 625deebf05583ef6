import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Bundle, bundle } from '../../deploy/bundle.ts';
import { sizeFaults } from '../../deploy/gates.ts';
import { loadBundle } from '../../local/packaged.ts';
import { bytesOf, newFolder, newStack, sha1 } from '../support/stack.ts';

/** The code that is deployed, minified and each function for itself, on the local engine. */

let dir: string;
let bundles: Bundle[];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 's3-vod-bundles-'));
  bundles = await bundle(dir);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test('each is small enough to start fast', () => {
  expect(bundles.map(({ name }) => name).sort()).toEqual(['cover', 'finish', 'init', 'part', 'trigger']);
  expect(sizeFaults(bundles)).toEqual([]);
});

test('an object goes through them as through the sources', async () => {
  const world = await newStack({ bundles: dir });
  const body = bytesOf(3_000_000);
  await world.put('film.mp4', body);
  const [first, echo, ...more] = await world.results();
  expect(first).toMatchObject({
    outcome: 'uploaded',
    sha1: sha1(body),
    sent: { parts: 3, bytes: 3_000_000 },
  });
  expect(sha1(await world.stored(first?.fileId))).toBe(sha1(body));
  expect((await world.head('film.mp4')).Metadata).toMatchObject({ 'vod-file-id': first?.fileId });
  expect(echo).toMatchObject({ outcome: 'unchanged', fileId: first?.fileId });
  expect(more).toEqual([]);
});

test('their errors have the names that the state machine matches', async () => {
  const world = await newStack({ bundles: dir });
  await world.put('empty.mp4', bytesOf(0));
  await world.idle();
  expect(world.ended).toMatchObject([{ status: 'FAILED', error: 'UnfitObject' }]);
});

test('where nothing has been packaged yet, it says what to do', async () => {
  const nowhere = await newFolder();
  expect(() => loadBundle(nowhere, 'init')).toThrow(/init\.js is not there: npm run package builds it/);
  await expect(newStack({ bundles: nowhere })).rejects.toThrow('npm run package');
});
