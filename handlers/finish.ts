import { FinishInput } from '../lib/schemas.ts';
import { runFinish } from '../lib/steps/finish.ts';
import { createStep } from './create-step.ts';

export const handler = createStep(
  'finish',
  FinishInput,
  ({ job: { request, execution, round } }) => ({
    bucket: request.bucket,
    key: request.key,
    execution,
    round,
  }),
  runFinish,
);
