import { InitInput } from '../lib/job.ts';
import { openUpload } from '../lib/open.ts';
import { servicesFor } from '../lib/services.ts';
import { step } from './step.ts';

/** Looks at the object, computes its SHA-1, opens the upload, and plans what is missing. */
export const handler = step(
  'init',
  InitInput,
  ({ request: { bucket, key }, execution, round }) => ({ bucket, key, execution, round }),
  async (job, { deadline }) => openUpload(job, await servicesFor(process.env), deadline),
);
