import { closeUpload } from '../lib/close.ts';
import { FinishInput } from '../lib/job.ts';
import { servicesFor } from '../lib/services.ts';
import { step } from './step.ts';

/** Closes the upload and writes the `fileId` back onto the object; or goes back to Init, when parts are missing. */
export const handler = step(
  'finish',
  FinishInput,
  ({
    job: {
      request: { bucket, key },
      execution,
      round,
    },
  }) => ({ bucket, key, execution, round }),
  async (input, { deadline }) => closeUpload(input, await servicesFor(process.env), deadline),
);
