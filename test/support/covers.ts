import { beforeEach } from 'vitest';
import type { ObjectVersion, Result, UploadRequest, VideoCover } from '../../lib/schemas.ts';
import { attachCoverToVideo, attachImage } from '../../lib/steps/cover.ts';
import type { Services } from '../../lib/steps/services.ts';
import type { VodClient } from '../../lib/vod/v2/client.ts';
import { useServices } from './ends.ts';
import { BUCKET } from './fake-store.ts';
import { ampleDeadline, fileId, hash } from './values.ts';
import { video } from './vod-client.ts';

/** Images and the videos whose covers they are, over real S3 and VOD. */
export function useCovers() {
  /** S3's clock, which keeps whole seconds, stands still some minutes ago: it is a test that makes a second pass. */
  let now = Date.now() - 600_000;
  const ends = useServices({ now: () => new Date(now) });
  const { store } = ends;
  const services = (vod: Partial<VodClient> = {}): Services => ends.services(vod);

  let shows = 0;
  const nextShow = (): void => void shows++;
  beforeEach(nextShow);
  /** The prefix of a test's keys, which no other test uses. */
  const show = (): string => `show ${shows}/ep1`;

  return {
    store,
    services,
    show,
    nextShow,
    nextSecond: (): void => {
      now += 1000;
    },
    /** All that VOD has. */
    files: ends.files,

    /** A video that VOD has, and that says so. */
    film: async (key = `${show()}.mp4`, bucket = BUCKET): Promise<string> => {
      const { bytes, sha1, ...parts } = video(1000);
      const id = await ends.other.upload({ bytes, sha1, ...parts });
      const Metadata = {
        'vod-file-id': id,
        'vod-url': 'u',
        'vod-sha1': sha1,
        'vod-etag': hash('md5', bytes),
      };
      await store.put(bucket, key, bytes, { Metadata });
      return id;
    },

    /** As the execution of an image's event does it. */
    arrives: async (key: string, more: Partial<UploadRequest> = {}, with_ = services()): Promise<Result> => {
      const { pin } = await store.find(BUCKET, key);
      return attachImage(jobOf(pin, more), with_, ampleDeadline());
    },

    /** As the execution of a video that VOD has does it. */
    finishes: (key: string, id: string, with_ = services(), bucket = BUCKET): Promise<VideoCover> =>
      attachCoverToVideo({ bucket, key, fileId: fileId(id) }, with_, ampleDeadline()),

    /** The SHA-1 of the image that VOD shows for a file. */
    coverOf: (id: string): string | undefined => {
      const files = ends.files();
      const cover = files.find((file) => file.fileId === id)?.cover?.fileId;
      return files.find((file) => file.fileId === cover)?.sha1;
    },

    metadataOf: async (key: string, bucket = BUCKET) => (await store.find(bucket, key)).metadata,

    /** Counts what is sent, and for whom. */
    counting: () => {
      const sent: string[] = [];
      const { attachCover: sendCover } = services().vod;
      const counted: VodClient['uploadSmallFile'] = async (of, signal) => {
        sent.push(of.coverOf);
        return sendCover(of, signal);
      };
      return { sent, services: services({ uploadSmallFile: counted }) };
    },
  };
}

/** The job of an image as it was found, before anything was sent. */
export function jobOf(pin: ObjectVersion, more: Partial<UploadRequest> = {}) {
  const request = { bucket: pin.bucket, key: pin.key, ...more };
  return { request, round: 0, sent: { parts: 0, bytes: 0 }, pin };
}
