import type { Writers } from './writers.ts';

/** What must be true of the covers, whatever happened. */

/**
 * `lost`: something of the object is not as its last writer left it, or it has the cover of another. `id`, `cover`: it does not
 * carry the id of its bytes (yet), or does not have its image as its cover. `keys`: the objects that this may be due to.
 */
export type Lack = Readonly<{ keys: readonly string[]; what: 'lost' | 'id' | 'cover'; reason: string }>;

/** An image and its video: of the video's name or, where it is `named`, by the image's own word. */
export type Pairing = Readonly<{ image: string; video: string; named: boolean }>;

/** A file of VOD, and the SHA-1 of the bytes on disk of what is its cover. */
export type Shown = Readonly<{ fileId: string; sha1: string; cover: string | undefined }>;

/**
 * @param clocksDiffer then nobody can say which of several images was put last
 * @returns what is lacking, given what VOD shows and the fileIds that the objects carry, by key
 */
export function coversOf(pairings: readonly Pairing[], writers: Writers, clocksDiffer: boolean) {
  const { expected, history, order, touched } = writers;
  const bytesOf = (key: string): string | undefined =>
    expected.get(key) === undefined ? undefined : history.get(key)?.at(-1);

  /** A video's images: those that name it, and of those of its name the one put last. */
  function dueOf(video: string): string[] {
    const there = pairings.filter(({ image, video: of }) => of === video && bytesOf(image) !== undefined);
    const beside = there.filter(({ named }) => !named).map(({ image }) => image);
    const newest = order.findLast((key) => beside.includes(key));
    return there.flatMap(({ image, named }) => (named || image === newest ? [image] : []));
  }

  function lackOf({ fileId, sha1, cover }: Shown, carriers: readonly string[]): Lack[] {
    // Videos of the same bytes are one file, which is shown with the image that came last.
    const held = new Set([...history].flatMap(([key, contents]) => (contents.includes(sha1) ? [key] : [])));
    const related = pairings.filter(({ video }) => held.has(video));
    const own = new Set(related.flatMap(({ image }) => history.get(image) ?? []));
    const isOfOthers = pairings.some(
      ({ image }) => cover !== undefined && history.get(image)?.includes(cover),
    );
    if (isOfOthers && cover !== undefined && !own.has(cover)) {
      return [{ keys: [...held], what: 'lost', reason: `VOD shows ${fileId} with another video's image` }];
    }
    const isOpen =
      related.length > 1 &&
      (clocksDiffer || related.some(({ image }) => touched.has(image)) || held.size > carriers.length);
    const due = [...new Set(carriers.flatMap(dueOf))];
    if (isOpen || due.length === 0 || due.some((key) => cover !== undefined && bytesOf(key) === cover))
      return [];
    const wanted = due.map((key) => `${bytesOf(key)} (${key})`).join(' or ');
    const reason = `VOD shows ${fileId} with the cover ${cover}, expected ${wanted}`;
    return [{ keys: [...carriers, ...due], what: 'cover', reason }];
  }

  return (shown: readonly Shown[], carried: ReadonlyMap<string, string>): Lack[] =>
    shown.flatMap((file) => {
      const carriers = [...carried].flatMap(([key, id]) =>
        id === file.fileId && bytesOf(key) === file.sha1 ? [key] : [],
      );
      return lackOf(file, carriers);
    });
}
