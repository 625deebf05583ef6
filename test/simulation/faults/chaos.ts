import { createCallCounter, type Fault, type ServiceCall } from '../../../local/fault-injection.ts';
import type { Stack } from '../../../local/stack.ts';
import type { Incident, Plan } from './plan.ts';
import type { Writers } from './writers.ts';

/** Makes the incidents of a plan happen. */

/** An image that is put at the first request of a call. */
export type Arrival = Readonly<{ when: string; put: () => Promise<void> }>;

/** The short time limit of an invocation, in milliseconds of the accelerated clock. */
const SHORT_LIMIT_MS = 6_000;

export class Chaos {
  /** Incidents that happened. Each request that meets a fault counts. */
  incidents = 0;
  /** UploadPart requests. */
  parts = 0;
  readonly #plan: Plan;
  readonly #stack: Stack;
  readonly #writers: Writers;
  readonly #events: Events;
  readonly #keys: readonly string[];
  readonly #arrivals: readonly Arrival[];
  readonly #countCall = createCallCounter();

  constructor(
    plan: Plan,
    stack: Stack,
    writers: Writers,
    events: Events,
    keys: readonly string[],
    arrivals: readonly Arrival[],
  ) {
    this.#arrivals = arrivals;
    this.#plan = plan;
    this.#stack = stack;
    this.#writers = writers;
    this.#events = events;
    this.#keys = keys;
  }

  /** Selects the fault of a request. Writes and disruptions happen first; the request waits for them. */
  readonly selectFault = async (serviceCall: ServiceCall): Promise<Fault | undefined> => {
    const nth = this.#countCall(serviceCall);
    if (serviceCall.call === 'UploadPart') this.parts++;
    if (nth === 0) for (const { when, put } of this.#arrivals) if (when === serviceCall.call) await put();
    let fault: Fault | undefined;
    for (const incident of this.#plan.incidents) {
      if (incident.service !== serviceCall.service || incident.call !== serviceCall.call) continue;
      if (nth < incident.nth || nth >= incident.nth + repetitionsOf(incident)) continue;
      this.incidents++;
      if (incident.kind === 'fault') fault ??= incident.fault;
      else await this.#apply(incident);
    }
    return fault;
  };

  async #apply(incident: Exclude<Incident, { kind: 'fault' }>): Promise<void> {
    if (incident.kind === 'write') {
      const key = this.#keys[incident.object % this.#keys.length] ?? '';
      await this.#writers.write(incident.write, key);
    } else if (incident.disruption === 'kill') this.#stack.lambda.kill();
    else if (incident.disruption === 'shorten') this.#stack.lambda.timeLimitMs = SHORT_LIMIT_MS;
    else this.#events.repeatAll();
  }
}

/** A service that does not respond costs real time, so it does so at most twice. */
function repetitionsOf(incident: Incident): number {
  if (incident.kind !== 'fault') return 1;
  return incident.fault === 'no-response' || incident.fault === 'stalled-body'
    ? Math.min(incident.times, 2)
    : incident.times;
}

/** Sits between S3's events and the queue, and delivers events twice, late, and out of order. */
export class Events {
  readonly #plan: Plan;
  readonly #stack: Stack;
  readonly #deliver: (event: unknown) => void;
  readonly #all: unknown[] = [];
  readonly #repeats = new Set<Promise<unknown>>();
  #late: unknown[] = [];

  constructor(plan: Plan, stack: Stack) {
    this.#plan = plan;
    this.#stack = stack;
    this.#deliver = stack.queue.send.bind(stack.queue);
    stack.queue.send = (event) => this.#send(event);
  }

  /** Invokes the trigger again with every event so far, concurrently. */
  repeatAll(): void {
    for (const event of this.#all) {
      // Killing one loses nothing: it repeats an event that was already delivered.
      const repeat = this.#stack
        .invokeTrigger(event)
        .catch(() => {})
        .finally(() => this.#repeats.delete(repeat));
      this.#repeats.add(repeat);
    }
  }

  /** Resolves when every event is delivered and all work is done. */
  async settle(): Promise<void> {
    do {
      await Promise.all(this.#repeats);
      await this.#stack.idle();
    } while (this.#deliverLate() || this.#repeats.size > 0);
  }

  restore(): void {
    this.#stack.queue.send = this.#deliver;
  }

  #send(event: unknown): void {
    const delivery = this.#plan.deliveries[this.#all.length] ?? 'once';
    this.#all.push(event);
    if (delivery === 'late') {
      this.#late.push(event);
      return;
    }
    this.#deliver(event);
    if (delivery === 'twice') this.#deliver(event);
    this.#deliverLate();
  }

  #deliverLate(): boolean {
    const late = this.#late;
    this.#late = [];
    for (const event of late) this.#deliver(event);
    return late.length > 0;
  }
}
