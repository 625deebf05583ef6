import { CoverInput } from '../lib/schemas.ts';
import { attachCoverToVideo, attachImage } from '../lib/steps/cover.ts';
import { servicesFor } from '../lib/steps/services.ts';
import { createHandler } from './create-handler.ts';

/** Ties images to videos: an image looks for the videos of its name, a video that VOD has for its image. */
export const handler = createHandler(
  'cover',
  CoverInput,
  (input) => {
    if ('video' in input) return { ...input.video, execution: input.execution };
    const { request, execution } = input.image;
    return { bucket: request.bucket, key: request.key, execution };
  },
  async (input, { deadline }) => {
    const services = await servicesFor(process.env);
    const isRepeat = input.retries + input.redrives > 0;
    return 'video' in input
      ? attachCoverToVideo(input.video, services, deadline, isRepeat)
      : attachImage(input.image, services, deadline, isRepeat);
  },
);
