import { EventEmitter } from 'node:events';
import * as v from 'valibot';
import { JsonStore } from '../../cli/json-store.ts';
import { executionArn } from '../../lib/trigger/executions.ts';
import type { StateMachineRunner } from './state-machine.ts';

/** Executions and how they stand, on disk: what was running when the process ended goes on at the next start. */

const Execution = v.object({
  name: v.string(),
  arn: v.string(),
  status: v.picklist(['RUNNING', 'SUCCEEDED', 'FAILED']),
  input: v.unknown(),
  startDate: v.number(),
  stopDate: v.optional(v.number()),
  redriveCount: v.number(),
  output: v.optional(v.unknown()),
  error: v.optional(v.string()),
  cause: v.optional(v.string()),
});
export type Execution = v.InferOutput<typeof Execution>;

type Events = { started: [Execution]; ended: [Execution] };

export class ExecutionStore extends EventEmitter<Events> {
  static readonly stateMachineArn = 'arn:aws:states:us-east-1:000000000000:stateMachine:upload';
  readonly #records: JsonStore<typeof Execution>;
  readonly #machine: StateMachineRunner;
  readonly #running = new Map<string, { execution: Execution; settled: Promise<void> }>();
  #stopped = false;
  /** How many were started, redriven, or resumed since the process began. */
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

  /** Starts what was running when the process ended, from the beginning: Init asks the service what it holds. */
  resume(): Execution[] {
    const unfinished = this.#records.all().filter(({ status }) => status === 'RUNNING');
    for (const execution of unfinished) this.#run(execution);
    return unfinished;
  }

  start(name: string, input: unknown): Execution {
    const arn = executionArn(ExecutionStore.stateMachineArn, name);
    return this.#run({ name, arn, status: 'RUNNING', input, startDate: Date.now(), redriveCount: 0 });
  }

  /** In the cloud a redrive goes on at the state that failed; here it begins again. Nothing is sent twice either way. */
  redrive({ name, arn, input, startDate, redriveCount }: Execution): Execution {
    return this.#run({ name, arn, status: 'RUNNING', input, startDate, redriveCount: redriveCount + 1 });
  }

  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  /** Settles when nothing is running. */
  async idle(): Promise<void> {
    while (this.#running.size > 0)
      await Promise.all([...this.#running.values()].map(({ settled }) => settled));
  }

  /** Ends what is running; it stays on disk as running. */
  async close(): Promise<void> {
    this.#stopped = true;
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
    const ended = await this.#machine.run(execution.input, execution).then(
      (output) => ({ status: 'SUCCEEDED' as const, output }),
      (error: unknown) => ({ status: 'FAILED' as const, ...namesOf(error) }),
    );
    if (this.#stopped) return;
    const record = { ...execution, ...ended, stopDate: Date.now() };
    this.#records.put(record.name, record);
    this.emit('ended', record);
  }
}

const namesOf = (error: unknown): { error: string; cause: string } =>
  error instanceof Error
    ? { error: error.name, cause: error.message }
    : { error: 'States.Runtime', cause: String(error) };
