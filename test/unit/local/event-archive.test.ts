import { appendFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EventArchive } from '../../../local/aws/event-archive.ts';
import { newFolder } from '../../support/temp-folder.ts';

const eventsOf = (archive: EventArchive): unknown[] => archive.all().map(({ event }) => event);

test('events are kept in their order, also by the next process', async () => {
  const dir = await newFolder();
  const before = Date.now();
  const archive = new EventArchive(dir);
  for (const n of [1, 2, 3]) archive.append({ n });
  const next = new EventArchive(dir);
  next.append({ n: 4 });
  expect(eventsOf(next)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
  expect(next.startTime).toBeGreaterThanOrEqual(before);
  expect(next.startTime).toBeLessThanOrEqual(next.all()[0]?.time ?? 0);
});

test('it is bounded: of the latest at least one file’s worth is there, of all at most two', async () => {
  const dir = await newFolder();
  const archive = new EventArchive(dir, 1000);
  for (let n = 0; n < 500; n++) {
    archive.append({ n });
    const sizes = await Promise.all(
      (await readdir(dir)).map(async (name) => (await stat(join(dir, name))).size),
    );
    expect(sizes.length).toBeLessThanOrEqual(2);
    expect(Math.max(...sizes)).toBeLessThan(1100);
  }
  const kept = eventsOf(archive);
  expect(kept.length).toBeGreaterThan(15);
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, at) => ({ n: 500 - kept.length + at })));
  expect(archive.startTime).toBeLessThanOrEqual(archive.all()[0]?.time ?? 0);
});

test('half a line, of a killed process, costs itself alone', async () => {
  const dir = await newFolder();
  new EventArchive(dir).append({ n: 1 });
  await appendFile(join(dir, 'newer.jsonl'), '{"time":17000000');
  const archive = new EventArchive(dir);
  archive.append({ n: 2 });
  expect(eventsOf(archive)).toEqual([{ n: 1 }, { n: 2 }]);
});
