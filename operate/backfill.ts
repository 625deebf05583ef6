import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import type { SFNClient } from '@aws-sdk/client-sfn';
import { pMapIterable } from 'p-map';
import { formatBar, replaceControls } from '../cli/format.ts';
import type { Terminal } from '../cli/terminal.ts';
import { createS3Client } from '../lib/s3/client.ts';
import type { UploadRequest } from '../lib/schemas.ts';
import { executionName, startExecution } from '../lib/trigger/executions.ts';
import type { Backfill } from './args.ts';
import { type Checkpoint, type CheckpointFile, openCheckpoint } from './checkpoint.ts';
import { type Classification, classify, type ListedObject, listObjects } from './classify.ts';
import { createStepFunctionsClient } from './executions.ts';
import { createRateLimiter } from './rate-limit.ts';
import { sendAws } from './request.ts';
import { findStack } from './stack.ts';

/** Concurrent HEAD requests, and classified objects that wait for their turn. They bound memory for any bucket. */
const CONCURRENCY = 16;
const MAX_WAITING = 64;

/** After so many rejections in a row the cause is not the objects but the policy, the credentials, or the region. */
const MAX_REJECTIONS = 10;

/** Objects between two checkpoints while nothing is started. A killed run classifies at most this many again. */
const CHECKPOINT_OBJECTS = 100;

/** Objects between two status lines where no progress bar is shown. */
const STATUS_OBJECTS = 1000;

/**
 * `npm run backfill`: starts executions for objects that no event announced.
 * @returns the exit code: 1 if S3 rejected the request for an object
 */
export async function backfill(args: Backfill, terminal: Terminal, signal: AbortSignal): Promise<number> {
  const { target, bucket, prefix } = args;
  const stack = await findStack(target);
  const expected = stack.output('BucketName');
  if (bucket !== expected)
    throw new Error(`stack ${stack.name}: expected bucket ${expected}, got ${bucket}. Backfill that bucket.`);
  const stateMachineArn = stack.output('StateMachineArn');
  const s3 = createS3Client({ endpoint: stack.s3Endpoint });
  const sfn = createStepFunctionsClient();
  const dir = 'local' in target ? join(target.local, 'backfill') : '.backfill';
  try {
    const file = args.dryRun ? undefined : openCheckpoint(dir, { stateMachineArn, bucket, prefix });
    return await new BackfillRun(args, { s3, sfn, terminal, file, stateMachineArn }).run(signal);
  } finally {
    s3.destroy();
    sfn.destroy();
  }
}

type Dependencies = Readonly<{
  s3: S3Client;
  sfn: SFNClient;
  terminal: Terminal;
  /** Undefined in a dry run. */
  file: CheckpointFile | undefined;
  stateMachineArn: string;
}>;

class BackfillRun {
  readonly #args: Backfill;
  readonly #dependencies: Dependencies;
  readonly #checkpoint: Checkpoint;
  readonly #reserveTurn: (now: number) => number;
  /** Objects by the reason for skipping them. */
  readonly #skipped = new Map<string, number>();
  /** Objects under the prefix, after they are counted. */
  #total: number | undefined;
  #sinceCheckpoint = 0;
  #rejectionsInRow = 0;

  constructor(args: Backfill, dependencies: Dependencies) {
    this.#args = args;
    this.#dependencies = dependencies;
    this.#reserveTurn = createRateLimiter(args.perMinute);
    const { bucket, prefix, restart } = args;
    const { stateMachineArn, file } = dependencies;
    this.#checkpoint = (restart ? undefined : file?.read()) ?? {
      ...{ stateMachineArn, bucket, prefix, began: new Date().toISOString() },
      ...{ started: 0, uploaded: 0, skipped: 0, rejected: 0 },
    };
  }

  async run(signal: AbortSignal): Promise<number> {
    const { terminal, file } = this.#dependencies;
    const { after } = this.#checkpoint;
    if (after !== undefined) terminal.print(`continuing after ${replaceControls(after)}`);
    this.#save(); // before the first start, because `began` is part of the execution names
    const counting = new AbortController();
    void this.#count(AbortSignal.any([signal, counting.signal]));
    try {
      await this.#processAll(signal);
    } catch (error) {
      // The checkpoint stays before the first of several rejections, because their cause may be the policy.
      if (this.#rejectionsInRow === 0) this.#save();
      terminal.print(`stopped: ${this.#summary()}`);
      if (file) terminal.print(`run the same command to continue (${file.path})`);
      throw error;
    } finally {
      counting.abort();
    }
    file?.remove();
    terminal.print(this.#summary());
    for (const [reason, count] of this.#skipped)
      terminal.print(`  skipped ${count}: ${replaceControls(reason)}`);
    return this.#checkpoint.rejected > 0 ? 1 : 0;
  }

  async #processAll(signal: AbortSignal): Promise<void> {
    const { s3, terminal } = this.#dependencies;
    const { bucket } = this.#args;
    const classifyObject = (object: ListedObject) => classify(s3, bucket, object, signal);
    const limits = { concurrency: CONCURRENCY, backpressure: MAX_WAITING };
    for await (const object of pMapIterable(this.#list(signal), classifyObject, limits)) {
      await this.#handle(object, signal);
      terminal.showProgress(this.#progress());
      if (!terminal.isInteractive && this.#done % STATUS_OBJECTS === 0) terminal.print(this.#summary());
    }
    this.#total = this.#done;
    terminal.showProgress(this.#progress());
  }

  #list(signal: AbortSignal): AsyncGenerator<ListedObject> {
    const { bucket, prefix } = this.#args;
    return listObjects(this.#dependencies.s3, { bucket, prefix, after: this.#checkpoint.after }, signal);
  }

  async #handle(object: Classification, signal: AbortSignal): Promise<void> {
    const { key, status } = object;
    if (status === 'rejected') return this.#reject(key, object.reason);
    this.#rejectionsInRow = 0;
    if (status === 'pending') await this.#start(object.request, signal);
    else this.#checkpoint[status]++;
    if (status === 'skipped') this.#skipped.set(object.reason, (this.#skipped.get(object.reason) ?? 0) + 1);
    this.#checkpoint.after = key;
    if (status === 'pending' || ++this.#sinceCheckpoint >= CHECKPOINT_OBJECTS) this.#save();
  }

  async #start(request: UploadRequest, signal: AbortSignal): Promise<void> {
    const { terminal, sfn, stateMachineArn } = this.#dependencies;
    const object = replaceControls(`s3://${request.bucket}/${request.key}`);
    if (this.#args.dryRun) terminal.print(`would start  ${object}`);
    else {
      await sleep(this.#reserveTurn(performance.now()), undefined, { signal });
      const name = executionName(request, `backfill ${this.#checkpoint.began}`);
      const execution = await sendAws(`start ${object}`, () =>
        startExecution(sfn, stateMachineArn, name, request, signal),
      );
      if (!terminal.isInteractive) terminal.print(`${execution.status}  ${object}  ${execution.name}`);
    }
    this.#checkpoint.started++;
  }

  #reject(key: string, reason: string): void {
    this.#checkpoint.rejected++;
    this.#dependencies.terminal.printError(`rejected  ${replaceControls(key)}  ${reason}`);
    if (++this.#rejectionsInRow === MAX_REJECTIONS)
      throw new Error(`S3 rejected ${MAX_REJECTIONS} objects in a row; the last: ${reason}`);
  }

  #save(): void {
    this.#sinceCheckpoint = 0;
    this.#dependencies.file?.write(this.#checkpoint);
  }

  get #done(): number {
    const { started, uploaded, skipped, rejected } = this.#checkpoint;
    return started + uploaded + skipped + rejected;
  }

  #summary(count = `${this.#done}`): string {
    const { started, uploaded, skipped, rejected } = this.#checkpoint;
    const verb = this.#args.dryRun ? 'to start' : 'started';
    return `${count} objects: ${verb} ${started}, already uploaded ${uploaded}, skipped ${skipped}, rejected ${rejected}`;
  }

  #progress(): string {
    const total = this.#total;
    if (total === undefined) return `  ${this.#summary()}`;
    const bar = formatBar(total === 0 ? 1 : this.#done / total);
    return `  ${bar} ${this.#summary(`${this.#done} of ${total}`)}`;
  }

  /** Counts the objects for the progress bar. A listing is much faster than the HEAD requests. */
  async #count(signal: AbortSignal): Promise<void> {
    let count = this.#done;
    try {
      for await (const _ of this.#list(signal)) count++;
      this.#total = count;
    } catch {
      // The run itself meets the same error and reports it.
    }
  }
}
