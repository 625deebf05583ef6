import type { Writers } from './writers.ts';

/** Checks the covers at the end of a plan. */

/**
 * `lost`: something of the object is not as its last writer left it, or a video has the cover of another. `id`: an object does not
 * carry the ID of its bytes. `cover`: a video does not have its image as cover. `keys`: the objects that may have caused it.
 */
export type Violation = Readonly<{
  keys: readonly string[];
  kind: 'lost' | 'id' | 'cover';
  reason: string;
}>;

/** An image and its video. `named`: the image names the video in `vod-cover-of`; otherwise they share the name. */
export type Pairing = Readonly<{ image: string; video: string; named: boolean }>;

/** A file in VOD. `cover`: the SHA-1 of its cover's bytes on disk. */
export type FileWithCover = Readonly<{ fileId: string; sha1: string; cover: string | undefined }>;

/**
 * @param clocksDiffer whether the services' clock is off, so that the order of several images is undefined
 * @returns a function that lists violations, from the files in VOD and the fileIds that objects carry, by key
 */
export function createCoverCheck(pairings: readonly Pairing[], writers: Writers, clocksDiffer: boolean) {
  const { expected, history, putOrder, touched } = writers;
  const currentSha1 = (key: string): string | undefined =>
    expected.get(key) === undefined ? undefined : history.get(key)?.at(-1);

  /** The images that a video may show: those that name it, and the last put of those that share its name. */
  function expectedImages(videoKey: string): string[] {
    const existing = pairings.filter(
      ({ image, video }) => video === videoKey && currentSha1(image) !== undefined,
    );
    const siblings = existing.filter(({ named }) => !named).map(({ image }) => image);
    const newest = putOrder.findLast((key) => siblings.includes(key));
    return existing.flatMap(({ image, named }) => (named || image === newest ? [image] : []));
  }

  function checkFile({ fileId, sha1, cover }: FileWithCover, carriers: readonly string[]): Violation[] {
    // Videos with the same bytes are one file in VOD, which shows the image that came last.
    const owners = new Set([...history].flatMap(([key, contents]) => (contents.includes(sha1) ? [key] : [])));
    const related = pairings.filter(({ video }) => owners.has(video));
    const ownImages = new Set(related.flatMap(({ image }) => history.get(image) ?? []));
    const isImage = pairings.some(({ image }) => cover !== undefined && history.get(image)?.includes(cover));
    if (isImage && cover !== undefined && !ownImages.has(cover)) {
      const reason = `VOD shows ${fileId} with another video's image`;
      return [{ keys: [...owners], kind: 'lost', reason }];
    }
    const isUndecided =
      related.length > 1 &&
      (clocksDiffer || related.some(({ image }) => touched.has(image)) || owners.size > carriers.length);
    const images = [...new Set(carriers.flatMap(expectedImages))];
    const isShown = images.some((key) => cover !== undefined && currentSha1(key) === cover);
    if (isUndecided || images.length === 0 || isShown) return [];
    const wanted = images.map((key) => `${currentSha1(key)} (${key})`).join(' or ');
    const reason = `VOD shows ${fileId} with the cover ${cover}, expected ${wanted}`;
    return [{ keys: [...carriers, ...images], kind: 'cover', reason }];
  }

  return (files: readonly FileWithCover[], carried: ReadonlyMap<string, string>): Violation[] =>
    files.flatMap((file) => {
      const carriers = [...carried].flatMap(([key, id]) =>
        id === file.fileId && currentSha1(key) === file.sha1 ? [key] : [],
      );
      return checkFile(file, carriers);
    });
}
