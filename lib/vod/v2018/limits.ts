import { InvalidInput, UnsupportedObject } from '../../errors.ts';
import { READ_BYTES } from '../../upload/buffer-pool.ts';
import type { CoverImage, VodTarget } from '../target.ts';
import { OBJECT_REQUESTS_PER_SECOND } from './pace.ts';

/** The limits of API 2018-07-17 and COS, and the layout of an upload within them. */

const MIB = 1024 ** 2;

/** The network rate of one function, in bytes per second: docs/explanation/performance.md. */
const FUNCTION_RATE = 75 * MIB;
/** The rate of one function whose processor also computes the checksums, with a margin. */
const PLANNED_RATE = 45 * MIB;
const MAX_PARTS = 10_000;
/** 48.8 TB: https://cloud.tencent.com/document/product/436/14518 */
const MAX_OBJECT_BYTES = 48.8 * 1000 ** 4;
/** A function sends so few parts faster than another one starts. */
const MIN_PARTS_PER_FUNCTION = 8;

/** The buffers of a process, and the most that a streamed part uses: one is read, and up to three are in flight. */
const BUFFERS = 8;
const MAX_BUFFERS_PER_PART = 4;

/** Parts up to the size of a buffer are sent from it. Larger ones are streams of several. */
export const partsInFlight = (partSize: number): number =>
  Math.floor(BUFFERS / Math.min(MAX_BUFFERS_PER_PART, Math.ceil(partSize / READ_BYTES)));

/** Smaller objects are sent in one request. */
export const MULTIPART_BYTES = READ_BYTES;

/** `seconds`: the shortest time that this many functions need. */
export type UploadLayout = Readonly<{ partSize: number; functions: number; seconds: number }>;

/** @param maxFunctions the limit of each object */
export function planUpload(size: number, maxFunctions: number): UploadLayout {
  const partSize = Math.max(READ_BYTES, Math.ceil(size / MAX_PARTS / MIB) * MIB);
  const useful = Math.ceil((OBJECT_REQUESTS_PER_SECOND * partSize) / PLANNED_RATE);
  const busy = Math.ceil(size / partSize / MIN_PARTS_PER_FUNCTION);
  const functions = Math.max(1, Math.min(useful, busy, maxFunctions));
  return { partSize, functions, seconds: Math.ceil(size / (functions * FUNCTION_RATE)) };
}

/** https://cloud.tencent.com/document/product/266/2846 */
const VIDEO_TYPES = new Set(
  (
    '3gp asf asx avi dat f4v flv m3u8 m4v mkv mov mp4 mp4v mpe mpeg mpg mxf ogg qt ram rm rmvb ts vob webm wm wmv ' +
    'aac amr flac m4a mp3 ra wav'
  ).split(' '),
);
const COVER_TYPES = new Set(['gif', 'jpeg', 'jpg', 'png']);

const MAX_TAGS = 16;
const MAX_TAG_CHARS = 32;

/** The options that only API 2.0 has. */
const FLAGS = ['transcode', 'screenshot', 'watermark'] as const;

/** See `VodTarget`. */
export const checkFile: VodTarget['check'] = ({ pin, fileType, options }) => {
  const flag = FLAGS.find((name) => options[name]);
  if (flag !== undefined)
    throw new InvalidInput(
      `option ${flag}: expected an option of API 2018-07-17, got one of API 2.0. Remove it, and set procedure if needed.`,
    );
  const { tags = [] } = options;
  if (tags.length > MAX_TAGS)
    throw new InvalidInput(
      `option tags: expected at most ${MAX_TAGS} tags, got ${tags.length}. Remove some.`,
    );
  const long = tags.find((tag) => tag.length > MAX_TAG_CHARS);
  if (long !== undefined)
    throw new InvalidInput(
      `option tags: expected at most ${MAX_TAG_CHARS} characters, got "${long.slice(0, 80)}". Shorten it.`,
    );
  const object = `s3://${pin.bucket}/${pin.key}`;
  if (!VIDEO_TYPES.has(fileType))
    throw new UnsupportedObject(
      `${object}: expected a type that API 2018-07-17 accepts, got ${fileType}. Convert the video.`,
    );
  if (pin.size > MAX_OBJECT_BYTES)
    throw new UnsupportedObject(
      `${object}: expected at most ${MAX_OBJECT_BYTES} bytes (48.8 TB), got ${pin.size} bytes. Upload a smaller object.`,
    );
};

/** @throws {UnsupportedObject} */
export function checkCover({ fileName, fileType }: CoverImage): void {
  if (!COVER_TYPES.has(fileType))
    throw new UnsupportedObject(
      `${fileName}.${fileType}: expected a GIF, JPEG, or PNG image for API 2018-07-17, got ${fileType}. Convert the image.`,
    );
}
