import { EventEmitter } from 'node:events';
import * as v from 'valibot';
import { JsonStore } from '../../cli/json-store.ts';
import { executionArn } from '../../lib/trigger/executions.ts';
import type { StateMachineRunner } from './state-machine.ts';

const Execution = v.object({
  name: v.string(),
  arn: v.string(),
  status: v.picklist(['RUNNING', 'SUCCEEDED', 'FAILED']),
  input: v.unknown(),
  /** Milliseconds since 1970. */
  startDate: v.number(),
  stopDate: v.optional(v.number()),
  redriveCount: v.number(),
  output: v.optional(v.unknown()),
  error: v.optional(v.string()),
  cause: v.optional(v.string()),
});
export type Execution = v.InferOutput<typeof Execution>;

/** Runs executions and stores their status on disk. Executions that a killed process leaves `RUNNING` can be resumed. */
export class ExecutionStore extends EventEmitter<{ started: [Execution]; ended: [Execution] }> {
  static readonly stateMachineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:upload';
  readonly #records: JsonStore<typeof Execution>;
  readonly #machine: StateMachineRunner;
  readonly #running = new Map<string, { execution: Execution; settled: Promise<void> }>();
  #isStopped = false;
  /** Executions that this process started, redrove, or resumed. */
  count = 0;

  constructor(dir: string, machine: StateMachineRunner) {
    super();
    this.setMaxListeners(0);
    this.#records = new JsonStore(dir, Execution);
    this.#machine = machine;
  }

  get(name: string): Execution | undefined {
    return this.#records.get(name);
  }

  all(): Execution[] {
    return this.#records.all();
  }

  running(): Execution[] {
    return [...this.#running.values()].map(({ execution }) => execution);
  }

  /** Restarts from the first state what was running when the process ended. Init finds out which parts VOD has. */
  resume(): void {
    for (const execution of this.#records.all()) if (execution.status === 'RUNNING') this.#run(execution);
  }

  start(name: string, input: unknown): Execution {
    const arn = executionArn(ExecutionStore.stateMachineArn, name);
    return this.#run({ name, arn, status: 'RUNNING', input, startDate: Date.now(), redriveCount: 0 });
  }

  /** Step Functions continues from the failed state. This restarts from the first one; no part is sent twice either way. */
  redrive({ name, arn, input, startDate, redriveCount }: Execution): Execution {
    return this.#run({ name, arn, status: 'RUNNING', input, startDate, redriveCount: redriveCount + 1 });
  }

  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /** Resolves when no execution is running. */
  async idle(): Promise<void> {
    while (this.isBusy) await Promise.all([...this.#running.values()].map(({ settled }) => settled));
  }

  /** Aborts what is running. Its status on disk remains `RUNNING`. */
  async close(): Promise<void> {
    this.#isStopped = true;
    this.#machine.abort();
    await this.idle();
  }

  #run(execution: Execution): Execution {
    this.count++;
    this.#records.put(execution.name, execution);
    const settled = this.#settle(execution).finally(() => this.#running.delete(execution.name));
    this.#running.set(execution.name, { execution, settled });
    this.emit('started', execution);
    return execution;
  }

  async #settle(execution: Execution): Promise<void> {
    const end = await this.#machine.run(execution.input, execution).then(
      (output) => ({ status: 'SUCCEEDED' as const, output }),
      (error: unknown) => ({ status: 'FAILED' as const, ...toErrorAndCause(error) }),
    );
    if (this.#isStopped) return;
    const record = { ...execution, ...end, stopDate: Date.now() };
    this.#records.put(record.name, record);
    this.emit('ended', record);
  }
}

const toErrorAndCause = (error: unknown): { error: string; cause: string } =>
  error instanceof Error
    ? { error: error.name, cause: error.message }
    : { error: 'States.Runtime', cause: String(error) };
