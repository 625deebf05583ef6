import { PartInput } from '../lib/schemas.ts';
import { runPart } from '../lib/steps/part.ts';
import { createStep } from './create-step.ts';

export const handler = createStep(
  'part',
  PartInput,
  ({ pin, execution, batch }) => ({
    bucket: pin.bucket,
    key: pin.key,
    execution,
    first: batch.first,
    count: batch.count,
  }),
  runPart,
);
