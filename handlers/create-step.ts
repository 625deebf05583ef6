import type { GenericSchema, InferOutput } from 'valibot';
import type { Deadline } from '../lib/invocation/deadline.ts';
import { type Services, servicesFor } from '../lib/steps/services.ts';
import { createHandler } from './create-handler.ts';

/** Creates the handler of a step that uses VOD. The trigger does not, and its bundle leaves the client out. */
export const createStep = <const S extends GenericSchema, R>(
  name: string,
  schema: S,
  logKeys: (input: InferOutput<S>) => Record<string, unknown>,
  run: (input: InferOutput<S>, services: Services, deadline: Deadline) => Promise<R>,
) =>
  createHandler(name, schema, logKeys, async (input, { deadline }) =>
    run(input, await servicesFor(process.env), deadline),
  );
