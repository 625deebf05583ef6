import { appendFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EventArchive } from '../../../local/aws/event-archive.ts';
import { newFolder } from '../../support/temp-folder.ts';

const eventsOf = (archive: EventArchive): unknown[] => archive.all().map(({ event }) => event);

describe('EventArchive', () => {
  test('returns the events in order, also those of an earlier process', async () => {
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

  test('holds the latest events, at least one full file and at most two', async () => {
    const dir = await newFolder();
    const archive = new EventArchive(dir, 1000);
    for (let n = 0; n < 500; n++) {
      archive.append({ n });
      const files = await Promise.all((await readdir(dir)).map((name) => stat(join(dir, name))));
      expect(files.length).toBeLessThanOrEqual(2);
      expect(Math.max(...files.map(({ size }) => size))).toBeLessThan(1100);
    }
    const events = eventsOf(archive);
    expect(events.length).toBeGreaterThan(15);
    expect(events).toEqual(events.map((_, index) => ({ n: 500 - events.length + index })));
    expect(archive.startTime).toBeLessThanOrEqual(archive.all()[0]?.time ?? 0);
  });

  test('ignores half a line of a killed process', async () => {
    const dir = await newFolder();
    new EventArchive(dir).append({ n: 1 });
    await appendFile(join(dir, 'newer.jsonl'), '{"time":17000000');
    const archive = new EventArchive(dir);
    archive.append({ n: 2 });
    expect(eventsOf(archive)).toEqual([{ n: 1 }, { n: 2 }]);
  });
});
