import { InitInput } from '../lib/schemas.ts';
import { runInit } from '../lib/steps/init.ts';
import { createStep } from './create-step.ts';

export const handler = createStep(
  'init',
  InitInput,
  ({ request: { bucket, key }, execution, round }) => ({ bucket, key, execution, round }),
  runInit,
);
