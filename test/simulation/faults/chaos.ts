import { createCallCounter, type Fault, type ServiceCall } from '../../../local/fault-injection.ts';
import type { Stack } from '../../../local/stack.ts';
import type { Incident, Plan } from './plan.ts';
import type { Writers } from './writers.ts';

/** Makes happen what a plan says, when it says. */

/** Images come when the first request of a call does. */
export type Arrival = Readonly<{ when: string; put: () => Promise<void> }>;

/** Limit of an invocation that gets little time, milliseconds of the hurried clock. */
const SHORT_LIMIT_MS = 6_000;

export class Chaos {
  /** Incidents that happened, each request that met a fault being one. */
  struck = 0;
  /** Requests that brought a part. */
  parts = 0;
  readonly #plan: Plan;
  readonly #stack: Stack;
  readonly #writers: Writers;
  readonly #events: Events;
  readonly #keys: readonly string[];
  readonly #arrivals: readonly Arrival[];
  readonly #nth = createCallCounter();

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

  /** Deeds and blows happen before the request is looked at, which waits for them. */
  readonly faults = async (serviceCall: ServiceCall): Promise<Fault | undefined> => {
    const nth = this.#nth(serviceCall);
    if (serviceCall.call === 'UploadPart') this.parts++;
    if (nth === 0) for (const { when, put } of this.#arrivals) if (when === serviceCall.call) await put();
    const here = this.#plan.incidents.filter(
      ({ service, call }) => service === serviceCall.service && call === serviceCall.call,
    );
    let met: Fault | undefined;
    for (const incident of here) {
      if (nth < incident.nth || nth >= incident.nth + timesOf(incident)) continue;
      this.struck++;
      if (incident.kind === 'fault') met ??= incident.fault;
      else await this.#happen(incident);
    }
    return met;
  };

  async #happen(incident: Exclude<Incident, { kind: 'fault' }>): Promise<void> {
    if (incident.kind === 'deed') {
      const key = this.#keys[incident.object % this.#keys.length] ?? '';
      await this.#writers.do(incident.deed, key);
    } else if (incident.blow === 'kill') this.#stack.lambda.kill();
    else if (incident.blow === 'hurry') this.#stack.lambda.timeLimitMs = SHORT_LIMIT_MS;
    else this.#events.repeat();
  }
}

/** A silent service costs real time: it is silent to two tries, and no more. */
function timesOf(incident: Incident): number {
  if (incident.kind !== 'fault') return 1;
  return incident.fault === 'no-response' || incident.fault === 'stalled-body'
    ? Math.min(incident.times, 2)
    : incident.times;
}

/** Between the S3 that announces objects and the queue: here events come doubled, late, and out of order. */
export class Events {
  readonly #plan: Plan;
  readonly #stack: Stack;
  readonly #pass: (event: unknown) => void;
  readonly #all: unknown[] = [];
  readonly #repeats = new Set<Promise<unknown>>();
  #late: unknown[] = [];

  constructor(plan: Plan, stack: Stack) {
    this.#plan = plan;
    this.#stack = stack;
    this.#pass = stack.queue.send.bind(stack.queue);
    stack.queue.send = (event) => this.#send(event);
  }

  /** All events so far once more, each to a trigger of its own, at the same moment. */
  repeat(): void {
    for (const event of this.#all) {
      // One that is killed is no loss: it is the second word of its event.
      const repeat = this.#stack
        .invokeTrigger(event)
        .catch(() => {})
        .finally(() => this.#repeats.delete(repeat));
      this.#repeats.add(repeat);
    }
  }

  /** Settles when every event has come and nothing is left to do. */
  async settle(): Promise<void> {
    do {
      await Promise.all(this.#repeats);
      await this.#stack.idle();
    } while (this.#deliverLate() || this.#repeats.size > 0);
  }

  restore(): void {
    this.#stack.queue.send = this.#pass;
  }

  #send(event: unknown): void {
    const delivery = this.#plan.deliveries[this.#all.length] ?? 'once';
    this.#all.push(event);
    if (delivery === 'late') {
      this.#late.push(event);
      return;
    }
    this.#pass(event);
    if (delivery === 'twice') this.#pass(event);
    this.#deliverLate();
  }

  #deliverLate(): boolean {
    const late = this.#late;
    this.#late = [];
    for (const event of late) this.#pass(event);
    return late.length > 0;
  }
}
