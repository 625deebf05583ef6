import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HANDLER_ENVIRONMENT, HANDLER_FLAGS, profileFlags } from './flags.ts';
import type { Job, Measurement } from './messages.ts';

export type Workspace = Readonly<{
  /** Runs a job in a new process. */
  measure(job: Job): Promise<Measurement>;
  /** Creates an object of `size` bytes. Returns the event of its creation. */
  createObject(size: number): Promise<{ key: string; event: unknown }>;
  log(text: string): void;
  close(): Promise<void>;
}>;

const GiB = 1024 ** 3;

/** Ends a measurement that does not end itself. */
const MAX_MEASUREMENT_MS = 20 * 60_000;

/** Creates the temporary folder in which all measurements of one run take place. `close` removes it. */
export async function createWorkspace(log: (text: string) => void): Promise<Workspace> {
  const dir = await mkdtemp(join(tmpdir(), 's3-vod-bench-'));
  let source: Promise<unknown> | undefined;
  let objects = 0;
  let running: ChildProcess | undefined;

  async function measure(job: Job): Promise<Measurement> {
    log(describeJob(job));
    const runsHandlers = job.job === 'hash' || job.job === 'upload';
    const child = fork(new URL('runner.ts', import.meta.url), [dir, JSON.stringify(job)], {
      execArgv: [...(runsHandlers ? HANDLER_FLAGS : []), ...profileFlags(job.job)],
      env: { ...process.env, ...(runsHandlers && HANDLER_ENVIRONMENT) },
      timeout: MAX_MEASUREMENT_MS,
    });
    running = child;
    let measurement: Measurement | undefined;
    child.on('message', (message: Measurement) => {
      measurement = message;
    });
    const [code] = await once(child, 'exit');
    if (!measurement) throw new Error(`${job.job}: the measuring process exited with ${code}`);
    return measurement;
  }

  return {
    measure,
    log,
    async createObject(size) {
      // All objects repeat the same GiB of random bytes, which takes space on the disk only once.
      source ??= measure({ job: 'put', key: 'source', from: 'random', ranges: Array(16).fill(GiB / 16) });
      await source;
      const ranges = Array.from({ length: Math.ceil(size / GiB) }, (_, n) => Math.min(GiB, size - n * GiB));
      const key = `${size}-${objects++}.mp4`;
      const { event } = await measure({ job: 'put', key, from: 'source', ranges });
      return { key, event };
    },
    close: async () => {
      running?.kill(); // its services end with it, and can write until then
      await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

function describeJob({ job, ...rest }: Job): string {
  const facts = Object.entries(rest).filter(([key]) => key !== 'event' && key !== 'ranges');
  return [job, ...facts.map(([key, value]) => `${key} ${JSON.stringify(value)}`)].join('  ');
}
