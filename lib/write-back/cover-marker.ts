import * as v from 'valibot';
import type { Metadata } from '../s3/head-object.ts';
import { FileId } from '../schemas.ts';

/**
 * The marker entries of an image. The user may set `vod-cover-of` to fileIds or to a key in the same bucket; otherwise the
 * pipeline sets it. Only the pipeline sets `vod-covered`, the files that have the image as their cover. If both are equal,
 * the pipeline wrote both. So it recognizes a user's entry, also one edited later.
 */

/** The user's `vod-cover-of`, which a write-back does not change. */
export const userCoverOf = (metadata: Metadata): string | undefined =>
  metadata['vod-cover-of'] === metadata['vod-covered'] ? undefined : metadata['vod-cover-of'];

/** Parses fileIds separated by spaces. */
export function parseFileIds(text: string | undefined): FileId[] | undefined {
  const parsed = v.safeParse(v.array(FileId), text?.split(' '));
  return parsed.success ? parsed.output : undefined;
}

/** Sorts, so that a repeated write-back is recognized as unchanged. */
export const formatFileIds = (ids: readonly FileId[]): string => ids.toSorted().join(' ');
