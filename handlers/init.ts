import { InitInput } from '../lib/schemas.ts';
import { openUpload } from '../lib/steps/init.ts';
import { servicesFor } from '../lib/steps/services.ts';
import { step } from './create-handler.ts';

/** Looks at the object, computes its SHA-1, opens the upload, and plans what is missing. */
export const handler = step(
  'init',
  InitInput,
  ({ request: { bucket, key }, execution, round }) => ({ bucket, key, execution, round }),
  async (job, { deadline }) => openUpload(job, await servicesFor(process.env), deadline),
);
