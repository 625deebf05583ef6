import { PartInput } from '../lib/job.ts';
import { sendBatch } from '../lib/send.ts';
import { servicesFor } from '../lib/services.ts';
import { step } from './step.ts';

/** Sends a run of parts, and hands on what is left when its time runs low. */
export const handler = step(
  'part',
  PartInput,
  ({ pin: { bucket, key }, execution, batch: { first, count } }) => ({
    bucket,
    key,
    execution,
    first,
    count,
  }),
  async (input, { deadline }) => sendBatch(input, await servicesFor(process.env), deadline),
);
