import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  GetObjectAnnotationCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectAnnotationsCommand,
  ListObjectVersionsCommand,
  NoSuchAnnotation,
  NoSuchKey,
  type S3Client,
} from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { sha1 } from '../../support/values.ts';
import { createCoverCheck, type Pairing, type Violation } from './covers.ts';
import { type Expected, headersFor, type Writers } from './writers.ts';

/** Checks objects and files at the end of a plan. */

const MARKER_KEYS = new Set([
  ...['vod-file-id', 'vod-url', 'vod-sha1', 'vod-etag', 'vod-checksum', 'vod-uploaded-at'],
  ...['vod-put-at', 'vod-covered', 'vod-cover-of'], // on images
]);

const OWN_ANNOTATION = 'tencent-vod';
const AnnotatedId = v.pipe(v.string(), v.parseJson(), v.object({ 'vod-file-id': v.string() }));
type ObjectTarget = Readonly<{ Bucket: string; Key: string; VersionId?: string }>;

const Id = { fileId: v.string() };
const Index = v.array(
  v.object({
    ...Id,
    fileType: v.string(),
    sha1: v.string(),
    coverOf: v.optional(v.string()),
    cover: v.optional(v.object(Id)),
  }),
);

/** Changes of another client that S3 cannot protect while the pipeline writes the object. */
export type Races = Readonly<{ metadata: boolean; tags: boolean; annotations: boolean; times: boolean }>;

export function createInvariants(
  s3: S3Client,
  bucket: string,
  data: string,
  writers: Writers,
  pairings: readonly Pairing[],
  races: Races,
) {
  const images = new Set(pairings.map(({ image }) => image));
  const checkCovers = createCoverCheck(pairings, writers, races.times);
  const sha1ByFileId = new Map<string, string>();
  const readIndex = () => v.parse(Index, JSON.parse(readFileSync(join(data, 'vod', 'index.json'), 'utf8')));
  /** The SHA-1 of a file's bytes on VOD's disk. */
  const storedSha1 = (fileId: string): string | undefined => {
    const file = readIndex().find((entry) => entry.fileId === fileId);
    if (!file) return undefined;
    const path = join(data, 'vod', 'files', `${fileId}.${file.fileType}`);
    const known = sha1ByFileId.get(fileId) ?? sha1(readFileSync(path));
    sha1ByFileId.set(fileId, known);
    return known;
  };

  /** @param carried receives the fileId that the object carries */
  async function checkObject(
    key: string,
    expected: Expected | undefined,
    carried: Map<string, string>,
  ): Promise<Violation[]> {
    const target = { Bucket: bucket, Key: key };
    const violation = (kind: Violation['kind'], reason: string): Violation[] => [
      { keys: [key], kind, reason },
    ];
    const object = await s3.send(new GetObjectCommand(target)).catch((error: unknown) => {
      if (error instanceof NoSuchKey) return undefined;
      throw error;
    });
    if (!expected) return object ? violation('lost', 'it was deleted and exists again') : [];
    if (!object) return violation('lost', 'it does not exist');
    const body = Buffer.from((await object.Body?.transformToByteArray()) ?? []);
    if (!body.equals(expected.body)) return violation('lost', 'its bytes are not those of its last writer');
    const { Metadata = {} } = object;
    const { TagSet = [] } = await s3.send(new GetObjectTaggingCommand(target));
    const tags = Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]));
    const headers = headersFor(key);
    const found = serialize({
      metadata: races.metadata ? expected.metadata : withoutMarker(Metadata, expected.metadata),
      tags: races.tags ? expected.tags : withoutMarker(tags, expected.tags),
      annotations: races.annotations ? expected.annotations : await readAnnotations(target),
      headers: Object.fromEntries(Object.entries(object).filter(([name]) => name in headers)),
    });
    const { metadata, annotations } = expected;
    const wanted = serialize({ metadata, tags: expected.tags, annotations, headers });
    if (found !== wanted) return violation('lost', `expected ${wanted}, got ${found}`);
    const fileId = Metadata['vod-file-id'] ?? tags['vod-file-id'] ?? (await annotatedFileId(target));
    if (fileId) carried.set(key, fileId);
    if (images.has(key)) return []; // an image without a video carries no fileId
    if (!fileId) return violation('id', 'it carries no fileId');
    const [stored, actual] = [storedSha1(fileId), sha1(body)];
    if (stored === actual) return [];
    return violation('id', `it carries ${fileId}, which is ${stored ?? 'nothing'}, and is ${actual}`);
  }

  async function readAnnotation(version: ObjectTarget, AnnotationName: string): Promise<string | undefined> {
    const command = new GetObjectAnnotationCommand({ ...version, AnnotationName });
    const output = await s3.send(command).catch((error: unknown) => {
      if (error instanceof NoSuchAnnotation) return undefined;
      throw error;
    });
    return output?.AnnotationPayload?.transformToString();
  }

  /** The annotations of other clients. */
  async function readAnnotations(target: ObjectTarget): Promise<Record<string, string>> {
    const { Annotations = [] } = await s3.send(new ListObjectAnnotationsCommand(target));
    const names = Annotations.flatMap(({ AnnotationName = '' }) =>
      AnnotationName === OWN_ANNOTATION ? [] : [AnnotationName],
    );
    const texts = names.map(async (name) => [name, (await readAnnotation(target, name)) ?? ''] as const);
    return Object.fromEntries(await Promise.all(texts));
  }

  /** The fileId in the annotation of an object version, if it has one. */
  async function annotatedFileId(version: ObjectTarget): Promise<string | undefined> {
    const text = await readAnnotation(version, OWN_ANNOTATION);
    return text === undefined ? undefined : v.parse(AnnotatedId, text)['vod-file-id'];
  }

  return {
    async findViolations(): Promise<Violation[]> {
      const carried = new Map<string, string>();
      const objects = await Promise.all(
        [...writers.expected].map(([key, expected]) => checkObject(key, expected, carried)),
      );
      const videos = readIndex()
        .filter(({ coverOf }) => coverOf === undefined)
        .map(({ cover, ...file }) => ({ ...file, cover: cover && storedSha1(cover.fileId) }));
      return [...objects.flat(), ...checkCovers(videos, carried)];
    },

    /** Counts all versions, and describes those to which the pipeline wrote the ID of other bytes. */
    async checkVersions(): Promise<{ count: number; wrong: string[] }> {
      const { Versions = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket }));
      const wrong = await Promise.all(
        Versions.map(async ({ Key = '', VersionId = '', ETag = '' }) => {
          const target = { Bucket: bucket, Key, VersionId };
          const ownVersion = VersionId !== 'null' && !writers.versions.has(VersionId);
          const { Metadata = {} } = await s3.send(new HeadObjectCommand(target));
          const fileId = ownVersion ? (Metadata['vod-file-id'] ?? '') : await annotatedFileId(target);
          const actual = writers.sha1ByETag.get(ETag.replaceAll('"', ''));
          if (fileId === undefined || actual === undefined) return [];
          const stored = storedSha1(fileId);
          if (stored === actual) return [];
          return [`${Key}, version ${VersionId}: carries the ID of ${stored}, its bytes are ${actual}`];
        }),
      );
      return { count: Versions.length, wrong: wrong.flat() };
    },

    /** Describes contents that VOD has as several files. */
    findDuplicateFiles(): string[] {
      const bySha1 = Map.groupBy(readIndex(), (file) => file.sha1);
      return [...bySha1].flatMap(([sha, { length }]) =>
        length > 1 ? [`VOD has ${sha} ${length} times`] : [],
      );
    },
  };
}

type Entries = Readonly<Record<string, string>>;

/** Keeps what `expected` has: a user may set `vod-cover-of`. */
const withoutMarker = (entries: Entries, expected: Entries): Entries =>
  Object.fromEntries(Object.entries(entries).filter(([name]) => name in expected || !MARKER_KEYS.has(name)));

const serialize = (value: Record<string, object>): string =>
  JSON.stringify(Object.entries(value).map(([name, entries]) => [name, Object.entries(entries).sort()]));

/** Counts what keeps the process alive, and its open files. */
export function countResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  counts.set('open file', readdirSync('/dev/fd').filter(isOpenFile).length);
  return counts;
}

/** Node opens `/dev/null` on demand, and the descriptor that listed the files is closed now. */
function isOpenFile(fd: string): boolean {
  try {
    return readlinkSync(`/dev/fd/${fd}`) !== '/dev/null';
  } catch {
    return false;
  }
}

/** Turns of the event loop that closed sockets may take to disappear. */
const MAX_TURNS = 2_000;

/** Describes the resources that `before` does not have. */
export async function findLeaks(before: ReadonlyMap<string, number>): Promise<string[]> {
  const list = (): string[] =>
    [...countResources()].flatMap(([kind, count]) => {
      const more = count - (before.get(kind) ?? 0);
      return more > 0 && kind !== 'Immediate' ? [`${more} × ${kind}`] : [];
    });
  for (let turns = 0; turns < MAX_TURNS && list().length > 0; turns++) await nextTurn();
  return list();
}
