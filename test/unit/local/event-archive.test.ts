import { appendFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Archive } from '../../../local/aws/event-archive.ts';
import { newFolder } from '../../support/stack.ts';

const eventsOf = (archive: Archive): unknown[] => archive.all().map(({ event }) => event);

test('events are kept in their order, also by the next process', async () => {
  const dir = await newFolder();
  const before = Date.now();
  const archive = new Archive(dir);
  for (const n of [1, 2, 3]) archive.keep({ n });
  const next = new Archive(dir);
  next.keep({ n: 4 });
  expect(eventsOf(next)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
  expect(next.since).toBeGreaterThanOrEqual(before);
  expect(next.since).toBeLessThanOrEqual(next.all()[0]?.time ?? 0);
});

test('it is bounded: of the latest at least one file’s worth is there, of all at most two', async () => {
  const dir = await newFolder();
  const archive = new Archive(dir, 1000);
  for (let n = 0; n < 500; n++) {
    archive.keep({ n });
    const sizes = await Promise.all(
      (await readdir(dir)).map(async (name) => (await stat(join(dir, name))).size),
    );
    expect(sizes.length).toBeLessThanOrEqual(2);
    expect(Math.max(...sizes)).toBeLessThan(1100);
  }
  const kept = eventsOf(archive);
  expect(kept.length).toBeGreaterThan(15);
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, at) => ({ n: 500 - kept.length + at })));
  expect(archive.since).toBeLessThanOrEqual(archive.all()[0]?.time ?? 0);
});

test('half a line, of a killed process, costs itself alone', async () => {
  const dir = await newFolder();
  new Archive(dir).keep({ n: 1 });
  await appendFile(join(dir, 'newer.jsonl'), '{"time":17000000');
  const archive = new Archive(dir);
  archive.keep({ n: 2 });
  expect(eventsOf(archive)).toEqual([{ n: 1 }, { n: 2 }]);
});
