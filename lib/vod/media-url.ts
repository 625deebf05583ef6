import * as v from 'valibot';

/** Object metadata holds 2 KB of ASCII. */
const METADATA_URL = /^[\x21-\x7e]{0,1024}$/;

/** The address of a file in a response. One that does not fit into metadata is dropped: the `fileId` is enough to find the file. */
export const MediaUrl = v.pipe(
  v.string(),
  v.transform((url) => [url, URL.parse(url)?.href ?? ''].find((text) => METADATA_URL.test(text)) ?? ''),
);
