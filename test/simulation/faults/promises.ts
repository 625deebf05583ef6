import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import {
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  NoSuchKey,
  type S3Client,
} from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { sha1 } from '../../support/values.ts';
import { coversOf, type Lack, type Pairing } from './covers.ts';
import { about, type Expected, type Writers } from './writers.ts';

/** What must be true of objects and files, whatever happened. */

const OURS = new Set([
  ...['vod-file-id', 'vod-url', 'vod-sha1', 'vod-etag', 'vod-checksum', 'vod-uploaded-at'],
  ...['vod-put-at', 'vod-covered', 'vod-cover-of'], // of an image
]);

const Id = { fileId: v.string() };
const Listed = v.object({
  ...Id,
  fileType: v.string(),
  sha1: v.string(),
  coverOf: v.optional(v.string()),
  cover: v.optional(v.object(Id)),
});
const Index = v.array(Listed);

/** What cannot be kept of others' when they write it at the same moment as the chain. */
export type Races = Readonly<{ metadata: boolean; tags: boolean; times: boolean }>;

export function promisesOn(
  s3: S3Client,
  bucket: string,
  data: string,
  writers: Writers,
  pairings: readonly Pairing[],
  races: Races,
) {
  const images = new Set(pairings.map(({ image }) => image));
  const lacksOfCovers = coversOf(pairings, writers, races.times);
  /** SHA-1 of the file that VOD keeps under an id: of its bytes on disk. */
  const hashes = new Map<string, string>();
  const files = () => v.parse(Index, JSON.parse(readFileSync(join(data, 'vod', 'index.json'), 'utf8')));
  const storedAs = (fileId: string): string | undefined => {
    const file = files().find((entry) => entry.fileId === fileId);
    if (!file) return undefined;
    const known =
      hashes.get(fileId) ?? sha1(readFileSync(join(data, 'vod', 'files', `${fileId}.${file.fileType}`)));
    hashes.set(fileId, known);
    return known;
  };

  /** @param carried gets to know which fileId the object carries */
  async function lackOf(
    key: string,
    expected: Expected | undefined,
    carried: Map<string, string>,
  ): Promise<Lack | undefined> {
    const at = { Bucket: bucket, Key: key };
    const lost = (reason: string): Lack => ({ keys: [key], what: 'lost', reason });
    const reply = await s3.send(new GetObjectCommand(at)).catch((error: unknown) => {
      if (error instanceof NoSuchKey) return undefined;
      throw error;
    });
    if (!expected) return reply && lost('somebody deleted it, and it is there again');
    if (!reply) return lost('it is gone');
    const body = Buffer.from((await reply.Body?.transformToByteArray()) ?? []);
    if (!body.equals(expected.body)) return lost('its bytes are not those of its last writer');
    const { Metadata = {} } = reply;
    const { TagSet = [] } = await s3.send(new GetObjectTaggingCommand(at));
    const tags = Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]));
    const found = {
      metadata: races.metadata ? expected.metadata : withoutOurs(Metadata, expected.metadata),
      tags: races.tags ? expected.tags : withoutOurs(tags, expected.tags),
      about: pick(reply, about(key)),
    };
    const wanted = { metadata: expected.metadata, tags: expected.tags, about: about(key) };
    if (inOrder(found) !== inOrder(wanted)) return lost(`expected ${inOrder(wanted)}, got ${inOrder(found)}`);
    const fileId = Metadata['vod-file-id'] ?? tags['vod-file-id'];
    if (fileId) carried.set(key, fileId);
    if (images.has(key)) return undefined; // one that is nobody's cover carries none
    if (!fileId) return { keys: [key], what: 'id', reason: 'it carries no fileId' };
    const stored = storedAs(fileId);
    if (stored === sha1(body)) return undefined;
    const reason = `it carries ${fileId}, which is ${stored ?? 'nothing'}, and is ${sha1(body)}`;
    return { keys: [key], what: 'id', reason };
  }

  return {
    async lacks(): Promise<Lack[]> {
      const carried = new Map<string, string>();
      const all = await Promise.all(
        [...writers.expected].map(([key, expected]) => lackOf(key, expected, carried)),
      );
      const videos = files().filter(({ coverOf }) => coverOf === undefined);
      const shown = videos.map(({ cover, ...file }) => ({ ...file, cover: cover && storedAs(cover.fileId) }));
      return [...all.filter((lack) => lack !== undefined), ...lacksOfCovers(shown, carried)];
    },

    /** How many there are; and those that the chain made and that carry the id of other bytes. */
    async versions(): Promise<{ count: number; wrong: string[] }> {
      const { Versions = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket }));
      const wrong = await Promise.all(
        Versions.map(async ({ Key = '', VersionId = '', ETag = '' }) => {
          if (VersionId === 'null' || writers.versions.has(VersionId)) return undefined;
          const { Metadata = {} } = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key, VersionId }));
          const stored = storedAs(Metadata['vod-file-id'] ?? '');
          const is = writers.contents.get(ETag.replaceAll('"', ''));
          return is === undefined || stored === is
            ? undefined
            : `${Key}, version ${VersionId}: carries the id of ${stored}, its bytes are ${is}`;
        }),
      );
      return { count: Versions.length, wrong: wrong.filter((line) => line !== undefined) };
    },

    /** One content, one file. */
    doubledFiles(): string[] {
      const counts = Map.groupBy(files(), (file) => file.sha1);
      return [...counts].flatMap(([sha, { length }]) =>
        length > 1 ? [`VOD holds ${sha} ${length} times`] : [],
      );
    },
  };
}

type Entries = Readonly<Record<string, string>>;

/** `expected`: a user's own `vod-cover-of` is not ours. */
const withoutOurs = (entries: Entries, expected: Entries): Entries =>
  Object.fromEntries(Object.entries(entries).filter(([name]) => name in expected || !OURS.has(name)));

const pick = (from: object, like: object): object =>
  Object.fromEntries(Object.entries(from).filter(([name]) => name in like));

const inOrder = (value: Record<string, object>): string =>
  JSON.stringify(Object.entries(value).map(([name, entries]) => [name, Object.entries(entries).sort()]));

/** What keeps a process alive, and what it has open, counted. */
export function resources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  counts.set('open file', readdirSync('/dev/fd').filter(isFile).length);
  return counts;
}

/** Node opens `/dev/null` when it likes, where the standard input is that; and what listed the files is closed by now. */
function isFile(fd: string): boolean {
  try {
    return readlinkSync(`/dev/fd/${fd}`) !== '/dev/null';
  } catch {
    return false;
  }
}

/** Turns of the event loop in which sockets that were closed come to their end. */
const PATIENCE = 2_000;

/** What is there now and was not before. */
export async function leftOver(before: ReadonlyMap<string, number>): Promise<string[]> {
  const more = (): string[] =>
    [...resources()].flatMap(([kind, count]) => {
      const was = before.get(kind) ?? 0;
      return count > was && kind !== 'Immediate' ? [`${count - was} × ${kind}`] : [];
    });
  for (let turns = 0; turns < PATIENCE && more().length > 0; turns++) await turn();
  return more();
}
