import { PartInput } from '../lib/schemas.ts';
import { runPart } from '../lib/steps/part.ts';
import { servicesFor } from '../lib/steps/services.ts';
import { createHandler } from './create-handler.ts';

/** Sends a run of parts, and hands on what is left when its time runs low. */
export const handler = createHandler(
  'part',
  PartInput,
  ({ pin: { bucket, key }, execution, batch: { first, count } }) => ({
    bucket,
    key,
    execution,
    first,
    count,
  }),
  async (input, { deadline }) => runPart(input, await servicesFor(process.env), deadline),
);
