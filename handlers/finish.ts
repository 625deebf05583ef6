import { FinishInput } from '../lib/schemas.ts';
import { runFinish } from '../lib/steps/finish.ts';
import { servicesFor } from '../lib/steps/services.ts';
import { createHandler } from './create-handler.ts';

/** Closes the upload and writes the `fileId` back onto the object; or goes back to Init, when parts are missing. */
export const handler = createHandler(
  'finish',
  FinishInput,
  ({
    job: {
      request: { bucket, key },
      execution,
      round,
    },
  }) => ({ bucket, key, execution, round }),
  async (input, { deadline }) => runFinish(input, await servicesFor(process.env), deadline),
);
