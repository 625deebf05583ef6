import { InitInput } from '../lib/schemas.ts';
import { runInit } from '../lib/steps/init.ts';
import { servicesFor } from '../lib/steps/services.ts';
import { createHandler } from './create-handler.ts';

/** Looks at the object, computes its SHA-1, opens the upload, and plans what is missing. */
export const handler = createHandler(
  'init',
  InitInput,
  ({ request: { bucket, key }, execution, round }) => ({ bucket, key, execution, round }),
  async (job, { deadline }) => runInit(job, await servicesFor(process.env), deadline),
);
