import type { ExecutionStore } from '../../local/aws/execution-store.ts';
import { startAwsServer } from '../../local/aws/server.ts';
import { stepFunctionsOperations } from '../../local/aws/step-functions.ts';
import type { ListeningServer } from '../../local/http-server.ts';

/** Starts an AWS server that serves only Step Functions. */
export const startStepFunctions = (executions: ExecutionStore): Promise<ListeningServer> =>
  startAwsServer({
    targets: { AWSStepFunctions: stepFunctionsOperations(executions) },
    lambda: {},
    invoke: async () => undefined,
    stack: { name: 'none', outputs: () => ({}) },
  });
