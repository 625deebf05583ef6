import { once } from 'node:events';
import { connect } from 'node:net';
import * as v from 'valibot';
import { formatError } from '../../cli/errors.ts';
import type { Terminal } from '../../cli/terminal.ts';
import { errorMessage } from '../../lib/errors.ts';
import { Result, UploadRequest } from '../../lib/schemas.ts';
import type { Execution } from '../aws/execution-store.ts';
import type { Stack } from '../stack.ts';
import { ensureBucket, readFileInfo, uploadFile } from '../upload-file.ts';
import type { Arguments, Item } from './args.ts';
import { ProgressDisplay } from './progress-display.ts';
import { failureJson, instructionLines, type ObjectName, resultJson, resultLines } from './results.ts';

/** One run of `npm start`. It uploads the named items and completes what an earlier run left unfinished. */
export class Run {
  failures = 0;
  readonly #args: Arguments;
  readonly #stack: Stack;
  readonly #terminal: Terminal;
  readonly #display: ProgressDisplay;
  /** Executions of an earlier run for named objects. Their results are reported even if they are `unchanged`. */
  readonly #resumed = new Set<string>();
  /** When each execution started or continued in this run, in milliseconds. */
  readonly #startedAt = new Map<string, number>();
  readonly #reports = new Set<Promise<void>>();

  constructor(args: Arguments, stack: Stack, terminal: Terminal) {
    this.#args = args;
    this.#stack = stack;
    this.#terminal = terminal;
    this.#display = new ProgressDisplay(terminal);
    stack.executions.on('started', ({ name }) => this.#startedAt.set(name, performance.now()));
    stack.queue.on('deadLetter', ({ messageId, attributes }) => {
      const reason = attributes.reason?.StringValue ?? 'the trigger failed too often';
      const message = `dead letter ${messageId}: ${reason}. See ${args.data}/dead-letters.`;
      this.#reportFailure({ bucket: '', key: messageId }, new Error(message), 0);
    });
    stack.executions.on('ended', (execution) => this.#onEnded(execution));
  }

  /** Processes all items. Without items it never settles. */
  async all(signal: AbortSignal): Promise<void> {
    const { items, bucket } = this.#args;
    await checkReachable('S3_ENDPOINT', this.#stack.s3Endpoint);
    await checkReachable('VOD_ENDPOINT', this.#stack.vodEndpoint);
    this.#terminal.printError(`API ${this.#stack.vodApi} of VOD`);
    if (this.#stack.emitsEvents) await ensureBucket(this.#stack.s3, bucket, signal);
    this.#stack.start();
    if (items.length === 0) {
      for (const line of instructionLines(this.#stack, bucket)) this.#terminal.printError(line);
      return new Promise(() => {}); // until a signal stops the command
    }
    await this.#stack.queue.idle(); // events of an earlier run first, so that all running executions are known
    await Promise.all(items.map((item) => this.#process(item, signal)));
    await this.#stack.idle();
    await Promise.all(this.#reports);
  }

  close(): void {
    this.#display.close();
  }

  async #process(item: Item, signal: AbortSignal): Promise<void> {
    const startedAt = performance.now();
    try {
      const object = 'path' in item ? await this.#uploadFile(item.path, signal) : item;
      if (object) await this.#startExecution(object);
    } catch (error) {
      if (signal.aborted) return;
      const object = 'path' in item ? { bucket: this.#args.bucket, key: item.path } : item;
      this.#reportFailure(object, error, (performance.now() - startedAt) / 1000);
    }
  }

  /** @returns the object that needs a request, or nothing if its own event starts the execution */
  async #uploadFile(path: string, signal: AbortSignal): Promise<ObjectName | undefined> {
    const { bucket } = this.#args;
    const file = await readFileInfo(path);
    const object = { bucket, key: file.key };
    this.#display.setStatus(object, `copying to bucket ${bucket}`);
    const isNew = await uploadFile(this.#stack.s3, bucket, file, signal);
    return isNew && this.#stack.emitsEvents ? undefined : object;
  }

  /** Invokes the trigger, unless an execution of an earlier run for this object is still running. */
  async #startExecution(object: ObjectName): Promise<void> {
    const resumed = this.#stack.executions.running().find(({ input }) => {
      const { bucket, key } = requestOf(input) ?? {};
      return bucket === object.bucket && key === object.key;
    });
    if (resumed) this.#resumed.add(resumed.name);
    else await this.#stack.invokeTrigger(object);
  }

  #onEnded(execution: Execution): void {
    const { name, input, status, output, error = '', cause = '' } = execution;
    const object = requestOf(input) ?? { bucket: '', key: name };
    const stages = this.#display.remove(object);
    const seconds = (performance.now() - (this.#startedAt.get(name) ?? 0)) / 1000;
    // The trigger starts an execution for a write-back's event if it is in doubt, or for an image. That execution finds nothing to do.
    const isEcho = requestOf(input)?.etag !== undefined && !this.#resumed.has(name);
    this.#startedAt.delete(name);
    this.#resumed.delete(name);
    if (status === 'FAILED') {
      this.#reportFailure(object, { name: error, message: cause }, seconds);
      return;
    }
    const result = v.parse(Result, output);
    if (result.outcome === 'unchanged' && isEcho) return;
    const report = this.#report(result, stages, seconds).finally(() => this.#reports.delete(report));
    this.#reports.add(report);
  }

  async #report(result: Result, stages: string[], seconds: number): Promise<void> {
    if (this.#args.json) this.#terminal.print(resultJson(result, seconds));
    const [headline, ...lines] = await resultLines(this.#stack.s3, result, seconds, this.#stack.vodFilesDir);
    this.#terminal.printError([headline, ...stages, ...lines].join('\n'));
  }

  #reportFailure(object: ObjectName, error: unknown, seconds: number): void {
    this.failures++;
    if (this.#args.json) this.#terminal.print(failureJson(object, error, seconds));
    this.#terminal.printError(formatError(error, { subject: object.key, verbose: this.#args.verbose }));
  }
}

const requestOf = (input: unknown): UploadRequest | undefined => {
  const { success, output } = v.safeParse(UploadRequest, input);
  return success ? output : undefined;
};

/** Checks an endpoint before any work, so that the error names the setting. @throws {Error} */
async function checkReachable(setting: string, endpoint: string): Promise<void> {
  if (!endpoint) return;
  const { hostname, port, protocol } = new URL(endpoint);
  const socket = connect(Number(port) || (protocol === 'https:' ? 443 : 80), hostname);
  socket.setTimeout(5_000, () => socket.destroy(new Error('no connection within 5 s')));
  try {
    await once(socket, 'connect');
  } catch (error) {
    throw new Error(
      `${setting} ${endpoint}: expected a server, got ${errorMessage(error)}. Start the server or correct the setting.`,
    );
  } finally {
    socket.destroy();
  }
}
