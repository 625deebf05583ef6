import { PartInput } from '../lib/schemas.ts';
import { sendBatch } from '../lib/steps/part.ts';
import { servicesFor } from '../lib/steps/services.ts';
import { step } from './create-handler.ts';

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
