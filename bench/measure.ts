import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HANDLER_ENVIRONMENT, HANDLER_FLAGS, profileFlags } from './flags.ts';
import type { Job, Measured } from './messages.ts';

/** Where the measurements of one run of the bench take place: a folder that goes away, and what was put there. */
export type Lab = Readonly<{
  measure(job: Job): Promise<Measured>;
  /** An object of so many GiB (or part of one); the event of its creation. */
  object(size: number): Promise<{ key: string; event: unknown }>;
  /** Says on standard error what goes on. */
  say(text: string): void;
  close(): Promise<void>;
}>;

const GiB = 1024 ** 3;

const RUNS_HANDLERS: ReadonlySet<Job['job']> = new Set(['hash', 'upload']);

/** No measurement takes this long, but for a fault. */
const LONGEST_MS = 20 * 60_000;

export async function openLab(say: (text: string) => void): Promise<Lab> {
  const dir = await mkdtemp(join(tmpdir(), 's3-vod-bench-'));
  let source: Promise<unknown> | undefined;
  let objects = 0;
  let running: ChildProcess | undefined;

  async function measure(job: Job): Promise<Measured> {
    say(describe(job));
    const runsHandlers = RUNS_HANDLERS.has(job.job);
    const child = fork(new URL('runner.ts', import.meta.url), [dir, JSON.stringify(job)], {
      execArgv: [...(runsHandlers ? HANDLER_FLAGS : []), ...profileFlags(job.job)],
      env: { ...process.env, ...(runsHandlers && HANDLER_ENVIRONMENT) },
      timeout: LONGEST_MS,
    });
    running = child;
    let measured: Measured | undefined;
    child.on('message', (message: Measured) => {
      measured = message;
    });
    const [code] = await once(child, 'exit');
    if (!measured) throw new Error(`${job.job}: the process that measures ended with ${code}`);
    return measured;
  }

  return {
    measure,
    say,
    async object(size) {
      // One GiB of random bytes on disk serves all: larger objects are stretches of it, several times over.
      const sixteenth = Array.from({ length: 16 }, () => GiB / 16);
      source ??= measure({ job: 'put', key: 'source', from: 'random', stretches: sixteenth });
      await source;
      const stretches = Array.from({ length: Math.ceil(size / GiB) }, (_, n) =>
        Math.min(GiB, size - n * GiB),
      );
      const key = `${size}-${objects++}.mp4`;
      const { event } = await measure({ job: 'put', key, from: 'source', stretches });
      return { key, event };
    },
    close: async () => {
      running?.kill(); // the services end with it, and may write until they have
      await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

function describe(job: Job): string {
  const { job: name, ...rest } = job;
  const facts = Object.entries(rest).filter(([key]) => key !== 'event' && key !== 'stretches');
  return [name, ...facts.map(([key, value]) => `${key} ${JSON.stringify(value)}`)].join('  ');
}
