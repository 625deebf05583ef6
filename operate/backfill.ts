import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import type { SFNClient } from '@aws-sdk/client-sfn';
import { pMapIterable } from 'p-map';
import { bar, printable } from '../cli/format.ts';
import { createS3Client } from '../lib/s3/client.ts';
import type { UploadRequest } from '../lib/schemas.ts';
import { startExecution } from '../lib/trigger/executions.ts';
import type { Backfill } from './args.ts';
import { type Checkpoint, type Checkpoints, checkpointsOf } from './checkpoint.ts';
import { type Classification, classify, type Listed, listed } from './classify.ts';
import { createStepFunctionsClient } from './executions.ts';
import { createRateLimiter } from './rate-limit.ts';
import { sendAws } from './request.ts';
import type { Screen } from './screen.ts';
import { findStack } from './stack.ts';

/** `npm run backfill`: what lay in the bucket before the stack did, or what the stack missed. */

/** HEAD requests in flight, and looks that wait for their turn: they bound memory, whatever the bucket holds. */
const SIDE_BY_SIDE = 16;
const AHEAD = 64;

/** Refusals in a row after which it is not the objects: the policy, the keys, the region. */
const REFUSALS = 10;

/** Looks between two writes of the checkpoint, where nothing is started; a killed run looks at so many again. */
const CHECKPOINT_EVERY = 100;

/** Objects between two lines where there is no bar. */
const SAY_EVERY = 1000;

/** @returns the exit code: 1 where objects could not be looked at */
export async function backfill(given: Backfill, screen: Screen, signal: AbortSignal): Promise<number> {
  const { where, bucket, prefix } = given;
  const stack = await findStack(where);
  const served = stack.output('BucketName');
  if (bucket !== served) throw new Error(`s3://${bucket}: stack ${stack.name} serves bucket ${served}`);
  const stateMachineArn = stack.output('StateMachineArn');
  const s3 = createS3Client({ endpoint: stack.s3Endpoint });
  const sfn = createStepFunctionsClient();
  const dir = 'local' in where ? join(where.local, 'backfill') : '.backfill';
  try {
    const checkpoints = given.dryRun ? undefined : checkpointsOf(dir, { stateMachineArn, bucket, prefix });
    return await new Run(given, { s3, sfn, screen, checkpoints, stateMachineArn }).all(signal);
  } finally {
    s3.destroy();
    sfn.destroy();
  }
}

type Means = Readonly<{
  s3: S3Client;
  sfn: SFNClient;
  screen: Screen;
  /** None in a dry run. */
  checkpoints: Checkpoints | undefined;
  stateMachineArn: string;
}>;

class Run {
  readonly #given: Backfill;
  readonly #means: Means;
  readonly #at: Checkpoint;
  readonly #pace: (now: number) => number;
  readonly #why = new Map<string, number>();
  /** Keys in all, once they are counted. */
  #total: number | undefined;
  #sinceWritten = 0;
  #refusals = 0;

  constructor(given: Backfill, means: Means) {
    this.#given = given;
    this.#means = means;
    this.#pace = createRateLimiter(given.perMinute);
    const known = given.restart ? undefined : means.checkpoints?.read();
    const { bucket, prefix } = given;
    const none = { started: 0, carried: 0, skipped: 0, refused: 0 };
    this.#at = known ?? {
      ...{ stateMachineArn: means.stateMachineArn, bucket, prefix, began: new Date().toISOString() },
      ...none,
    };
  }

  async all(signal: AbortSignal): Promise<number> {
    const { screen, checkpoints } = this.#means;
    if (this.#at.after !== undefined) screen.say(`going on after ${printable(this.#at.after)}`);
    this.#write(); // before anything is started, since it names the occasion
    const counting = new AbortController();
    void this.#count(AbortSignal.any([signal, counting.signal]));
    try {
      await this.#go(signal);
    } catch (error) {
      if (this.#refusals === 0) this.#write();
      screen.say(`stopped: ${this.#standing()}`);
      if (checkpoints) screen.say(`the same command goes on from there (${checkpoints.file})`);
      throw error;
    } finally {
      counting.abort();
    }
    checkpoints?.remove();
    screen.say(this.#standing());
    for (const [reason, count] of this.#why) screen.say(`  skipped ${count}: ${printable(reason)}`);
    return this.#at.refused > 0 ? 1 : 0;
  }

  async #go(signal: AbortSignal): Promise<void> {
    const { s3, screen } = this.#means;
    const { bucket, prefix } = this.#given;
    const objects = listed(s3, { bucket, prefix, after: this.#at.after }, signal);
    const lookAtIt = (object: Listed) => classify(s3, bucket, object, signal);
    for await (const look of pMapIterable(objects, lookAtIt, {
      concurrency: SIDE_BY_SIDE,
      backpressure: AHEAD,
    })) {
      await this.#take(look, signal);
      screen.progress(this.#bar());
      if (!screen.isTerminal && this.#seen % SAY_EVERY === 0) screen.say(this.#standing());
    }
    this.#total = this.#seen;
    screen.progress(this.#bar());
  }

  async #take(look: Classification, signal: AbortSignal): Promise<void> {
    if (look.is === 'refused') return this.#refuse(look.key, look.reason);
    this.#refusals = 0;
    if (look.is === 'wanted') await this.#start(look.request, signal);
    else this.#at[look.is]++;
    if (look.is === 'skipped') this.#why.set(look.reason, (this.#why.get(look.reason) ?? 0) + 1);
    this.#at.after = look.key;
    if (look.is === 'wanted' || ++this.#sinceWritten >= CHECKPOINT_EVERY) this.#write();
  }

  async #start(request: UploadRequest, signal: AbortSignal): Promise<void> {
    const { screen, sfn, stateMachineArn } = this.#means;
    const object = printable(`s3://${request.bucket}/${request.key}`);
    if (this.#given.dryRun) screen.say(`would start  ${object}`);
    else {
      await sleep(this.#pace(performance.now()), undefined, { signal });
      const occasion = `backfill ${this.#at.began}`;
      const { name, status } = await sendAws(`start ${object}`, () =>
        startExecution(sfn, stateMachineArn, request, occasion, signal),
      );
      if (!screen.isTerminal) screen.say(`${status}  ${object}  ${name}`);
    }
    this.#at.started++;
  }

  /** The checkpoint stays before the first of several: they may all be the policy's fault. */
  #refuse(key: string, reason: string): void {
    this.#at.refused++;
    this.#means.screen.warn(`refused  ${printable(key)}  ${reason}`);
    if (++this.#refusals === REFUSALS)
      throw new Error(`${REFUSALS} objects in a row were refused; the last: ${reason}`);
  }

  #write(): void {
    this.#sinceWritten = 0;
    this.#means.checkpoints?.write(this.#at);
  }

  get #seen(): number {
    const { started, carried, skipped, refused } = this.#at;
    return started + carried + skipped + refused;
  }

  #counts(): string {
    const { started, carried, skipped, refused } = this.#at;
    const begun = this.#given.dryRun ? 'to start' : 'started';
    return `objects: ${begun} ${started}, carried ${carried}, skipped ${skipped}, refused ${refused}`;
  }

  #standing(): string {
    return `${this.#seen} ${this.#counts()}`;
  }

  #bar(): string {
    const total = this.#total;
    if (total === undefined) return `  ${this.#standing()}`;
    return `  ${bar(total === 0 ? 1 : this.#seen / total)} ${this.#seen} of ${total} ${this.#counts()}`;
  }

  /** A listing is far quicker than the looks: by it people see how far there is to go. It is missed by nobody else. */
  async #count(signal: AbortSignal): Promise<void> {
    const { bucket, prefix } = this.#given;
    let count = this.#seen;
    try {
      for await (const _ of listed(this.#means.s3, { bucket, prefix, after: this.#at.after }, signal))
        count++;
      this.#total = count;
    } catch {
      // The run itself meets what is wrong, and tells it.
    }
  }
}
