import type { ExecutionResult, Machine, MachineHost } from './machine.ts';
import { STEP_FUNCTIONS } from './model.ts';

export type ExecutionInput = Readonly<{ bucket: string; key: string }>;

export type Executions = Readonly<{
  /** Starts an execution, unless one of this name exists. */
  start(name: string, input: ExecutionInput): Promise<'started' | 'exists'>;
  running(): number;
  /** The executions that ended. */
  ended: readonly ExecutionResult[];
}>;

/** Step Functions: it runs each name once. */
export function createExecutions(
  machine: Machine,
  host: MachineHost,
  onEnded: (input: ExecutionInput, result: ExecutionResult) => void,
): Executions {
  const names = new Set<string>();
  const ended: ExecutionResult[] = [];
  return {
    ended,
    running: () => names.size - ended.length,
    async start(name, input) {
      await host.sleep(STEP_FUNCTIONS.startMs);
      if (names.has(name)) return 'exists';
      names.add(name);
      void machine.run(name, input, host).then((result) => {
        ended.push(result);
        onEnded(input, result);
      });
      return 'started';
    },
  };
}
