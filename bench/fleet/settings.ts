import * as v from 'valibot';
import { stackParameters } from '../../deploy/params.ts';
import type { FunctionName, FunctionSettings } from './lambda.ts';

const Parameters = v.object({
  memory: v.number(),
  smallMemory: v.number(),
  timeout: v.number(),
  triggerTimeout: v.number(),
  triggerConcurrency: v.number(),
  visibilityTimeout: v.number(),
  maxReceives: v.number(),
});

const parameters = v.parse(Parameters, stackParameters());
const large = { memoryMib: parameters.memory, timeoutMs: 1000 * parameters.timeout };
const small = { ...large, memoryMib: parameters.smallMemory };

/** The settings of the functions in serverless.yml. */
export const FUNCTIONS: Readonly<Record<FunctionName, FunctionSettings>> = {
  trigger: { ...small, timeoutMs: 1000 * parameters.triggerTimeout },
  init: large,
  part: large,
  finish: small,
  cover: small,
};

export const QUEUE = {
  triggers: parameters.triggerConcurrency,
  visibilityMs: 1000 * parameters.visibilityTimeout,
  maxReceives: parameters.maxReceives,
} as const;
