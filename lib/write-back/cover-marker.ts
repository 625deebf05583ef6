import * as v from 'valibot';
import { FileId } from '../schemas.ts';

/**
 * What an image's metadata says of the files whose cover it is. `vod-cover-of` is a user's word (a fileId, or a key in the
 * same bucket) or, where there is none, the chain's; `vod-covered` is the chain's alone: the files that have got the image.
 * Where both are the same the chain wrote them, so a user's word is known as one, also when it is edited later.
 */

type Metadata = Readonly<Record<string, string>>;

/** The user's word, if there is one. It is left as it stands. */
export const userCoverOf = (metadata: Metadata): string | undefined =>
  metadata['vod-cover-of'] === metadata['vod-covered'] ? undefined : metadata['vod-cover-of'];

/** FileIds separated by spaces; anything else is none of them. */
export function parseFileIds(text: string | undefined): FileId[] | undefined {
  const parsed = v.safeParse(v.array(FileId), text?.split(' '));
  return parsed.success ? parsed.output : undefined;
}

/** What is written onto an image. In one order always: what is written twice is the same. */
export function coverMetadata(metadata: Metadata, coverOf: readonly FileId[]) {
  const covered = coverOf.toSorted().join(' ');
  return { 'vod-cover-of': userCoverOf(metadata) ?? covered, 'vod-covered': covered };
}

/** What is left when the chain's own word is taken back. */
export function stripCoverMetadata(metadata: Metadata): Metadata {
  const { 'vod-covered': _, 'vod-cover-of': __, ...others } = metadata;
  const instruction = userCoverOf(metadata);
  return instruction === undefined ? others : { ...others, 'vod-cover-of': instruction };
}
