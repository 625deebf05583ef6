import type { Executions } from '../../local/engine/executions.ts';
import { startEngine } from '../../local/engine/server.ts';
import { statesOperations } from '../../local/engine/states.ts';
import type { Listening } from '../../local/listen.ts';

/** The local engine's door with Step Functions alone behind it. */
export const startStates = (executions: Executions): Promise<Listening> =>
  startEngine({
    targets: { AWSStepFunctions: statesOperations(executions) },
    invoke: async () => undefined,
    stack: { name: 'none', outputs: () => ({}) },
  });
