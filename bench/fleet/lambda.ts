import { type Deadline, DeadlineExceeded, shutdownReserveMs } from '../../lib/invocation/deadline.ts';
import type { VirtualClock } from './clock.ts';
import { createMeter, type Meter } from './meter.ts';
import { FUNCTION, LAMBDA } from './model.ts';
import { StateError } from './paths.ts';

export type FunctionName = 'trigger' | 'init' | 'part' | 'finish' | 'cover';

/** The settings of a deployed function. */
export type FunctionSettings = Readonly<{ memoryMib: number; timeoutMs: number }>;

/** One environment. It runs one invocation at a time, and keeps its clients between them. */
export type Environment<Clients> = Readonly<{
  cpu: Meter;
  /** Reading and sending. Each has the whole rate. */
  networkIn: Meter;
  networkOut: Meter;
  clients: Clients;
}>;

export type Invocations = Record<FunctionName, { count: number; ms: number; gbSeconds: number }>;

export type Lambda<Clients> = Readonly<{
  /**
   * Runs `handler` in a free environment, or in a new one.
   * @throws Lambda.TooManyRequestsException when the account runs too many functions, and the errors of `handler`
   */
  invoke<T>(
    name: FunctionName,
    handler: (environment: Environment<Clients>, deadline: Deadline) => Promise<T>,
  ): Promise<T>;
  invocations: Invocations;
  throttles(): number;
  coldStarts(): number;
}>;

/**
 * Lambda, for one account.
 * @param concurrency functions that the account may run at the same time
 * @param createClients what the modules of a new environment create
 */
export function createLambda<Clients>(
  clock: VirtualClock,
  settings: Readonly<Record<FunctionName, FunctionSettings>>,
  concurrency: number,
  createClients: () => Clients,
): Lambda<Clients> {
  const none = () => ({ count: 0, ms: 0, gbSeconds: 0 });
  const invocations: Invocations = {
    trigger: none(),
    init: none(),
    part: none(),
    finish: none(),
    cover: none(),
  };
  type Idle = { environment: Environment<Clients>; until: number };
  const idle: Record<FunctionName, Idle[]> = { trigger: [], init: [], part: [], finish: [], cover: [] };
  let [running, throttles, coldStarts] = [0, 0, 0];

  /** The environment that was used last, as Lambda does, so that the others can expire. */
  function takeWarm(name: FunctionName): Environment<Clients> | undefined {
    const latest = idle[name].pop();
    if (latest && latest.until > clock.now()) return latest.environment;
    idle[name].length = 0; // the others have waited even longer
    return undefined;
  }

  return {
    invocations,
    throttles: () => throttles,
    coldStarts: () => coldStarts,
    async invoke(name, handler) {
      if (running >= concurrency) {
        throttles++;
        await clock.sleep(LAMBDA.invokeMs);
        throw new StateError('Lambda.TooManyRequestsException', 'Rate Exceeded.');
      }
      running++;
      const { memoryMib, timeoutMs } = settings[name];
      const warm = takeWarm(name);
      const environment = warm ?? createEnvironment(memoryMib, createClients());
      if (!warm) coldStarts++;
      const billedFrom = clock.now() + LAMBDA.invokeMs;
      await clock.sleep(LAMBDA.invokeMs + (warm ? 0 : LAMBDA.coldStartMs));
      const deadline = createDeadline(clock, timeoutMs);
      try {
        return await handler(environment, deadline);
      } finally {
        deadline.release();
        running--;
        idle[name].push({ environment, until: clock.now() + LAMBDA.keepWarmMs });
        const ms = clock.now() - billedFrom;
        const total = invocations[name];
        total.count++;
        total.ms += ms;
        total.gbSeconds += (ms / 1000) * (memoryMib / 1024);
      }
    },
  };
}

function createEnvironment<Clients>(memoryMib: number, clients: Clients): Environment<Clients> {
  const cores = FUNCTION.cores * (memoryMib / 1024);
  return {
    cpu: createMeter(1000 * cores),
    networkIn: createMeter(FUNCTION.networkMiB, FUNCTION.burstMiB),
    networkOut: createMeter(FUNCTION.networkMiB, FUNCTION.burstMiB),
    clients,
  };
}

/** As `deadlineFrom` of lib/invocation/deadline.ts, in virtual time. */
function createDeadline(clock: VirtualClock, limit: number): Deadline {
  const end = clock.now() + limit - shutdownReserveMs(limit);
  const controller = new AbortController();
  const abort = (): void => controller.abort(new DeadlineExceeded(`the time limit of ${limit} ms was over`));
  const remaining = (): number => Math.max(0, end - clock.now());
  return {
    remaining,
    hasTimeFor: (ms) => remaining() > ms,
    limit,
    signal: controller.signal,
    release: clock.schedule(end - clock.now(), abort),
  };
}
