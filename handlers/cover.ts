import { CoverInput } from '../lib/schemas.ts';
import { attachCoverToVideo, attachImage } from '../lib/steps/cover.ts';
import { createStep } from './create-step.ts';

export const handler = createStep(
  'cover',
  CoverInput,
  (input) => {
    if ('video' in input) return { ...input.video, execution: input.execution };
    const { request, execution } = input.image;
    return { bucket: request.bucket, key: request.key, execution };
  },
  async (input, services, deadline) => {
    const isRepeat = input.retries + input.redrives > 0;
    return 'video' in input
      ? attachCoverToVideo(input.video, services, deadline, isRepeat)
      : attachImage(input.image, services, deadline, isRepeat);
  },
);
