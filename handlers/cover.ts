import { CoverInput } from '../lib/schemas.ts';
import { coverVideo, coverWith } from '../lib/steps/cover.ts';
import { servicesFor } from '../lib/steps/services.ts';
import { step } from './create-handler.ts';

/** Ties pictures to videos: a picture looks for the videos of its name, a video that VOD has for its picture. */
export const handler = step(
  'cover',
  CoverInput,
  (input) => {
    if ('video' in input) return { ...input.video, execution: input.execution };
    const { request, execution } = input.picture;
    return { bucket: request.bucket, key: request.key, execution };
  },
  async (input, { deadline }) => {
    const services = await servicesFor(process.env);
    const isRepeat = input.retries + input.redrives > 0;
    return 'video' in input
      ? coverVideo(input.video, services, deadline, isRepeat)
      : coverWith(input.picture, services, deadline, isRepeat);
  },
);
