import type { Executions } from '../../local/aws/execution-store.ts';
import { startEngine } from '../../local/aws/server.ts';
import { statesOperations } from '../../local/aws/step-functions.ts';
import type { Listening } from '../../local/http-server.ts';

/** The local engine's door with Step Functions alone behind it. */
export const startStates = (executions: Executions): Promise<Listening> =>
  startEngine({
    targets: { AWSStepFunctions: statesOperations(executions) },
    invoke: async () => undefined,
    stack: { name: 'none', outputs: () => ({}) },
  });
