import { connect } from 'node:net';
import * as v from 'valibot';
import { failedJson, failureLine } from '../../cli/errors.ts';
import { LOCAL_S3_CREDENTIALS } from '../../cli/running-file.ts';
import type { Terminal } from '../../cli/terminal.ts';
import { errorMessage } from '../../lib/errors.ts';
import { Result, UploadRequest } from '../../lib/schemas.ts';
import type { Execution } from '../aws/execution-store.ts';
import type { Stack } from '../stack.ts';
import { ensureBucket, readFileInfo, uploadFile } from '../upload-file.ts';
import type { Arguments, Item } from './args.ts';
import { jsonLine, resultLines, watchingLines } from './results.ts';

/** One run of the command: it brings over what was named, and what an earlier run left unfinished. */
export class Run {
  failures = 0;
  readonly #given: Arguments;
  readonly #stack: Stack;
  readonly #terminal: Terminal;
  /** Resumed executions that answer what was asked for: their end is told even where it is `unchanged`. */
  readonly #asked = new Set<string>();
  readonly #began = new Map<string, number>();
  readonly #telling = new Set<Promise<void>>();

  constructor(given: Arguments, stack: Stack, terminal: Terminal) {
    this.#given = given;
    this.#stack = stack;
    this.#terminal = terminal;
    stack.executions.on('started', ({ name }) => this.#began.set(name, performance.now()));
    stack.queue.on('deadLetter', ({ messageId }) => {
      const message = `message ${messageId} could not be taken by the trigger: it lies in ${given.data}/dead-letters`;
      this.#fail({ bucket: '', key: messageId }, new Error(message), 0);
    });
    stack.executions.on('ended', (execution) => void this.#ended(execution));
  }

  async all(signal: AbortSignal): Promise<void> {
    const { items, bucket } = this.#given;
    await checkReachable('S3_ENDPOINT', this.#stack.s3Endpoint);
    await checkReachable('VOD_ENDPOINT', this.#stack.vodEndpoint);
    if (this.#stack.emitsEvents) await ensureBucket(this.#stack.s3, bucket, signal);
    this.#stack.start();
    if (items.length === 0) {
      const { s3Endpoint: endpoint, vodEndpoint } = this.#stack;
      for (const line of watchingLines({
        endpoint,
        vodEndpoint,
        bucket,
        credentials: this.#stack.emitsEvents ? LOCAL_S3_CREDENTIALS : undefined,
      })) {
        this.#terminal.say(line);
      }
      return new Promise(() => {}); // until Ctrl-C
    }
    await this.#stack.queue.idle(); // events of an earlier run come first, so that what runs is known
    await Promise.all(items.map((item) => this.#bring(item, signal)));
    await this.#stack.idle();
    await Promise.all(this.#telling);
  }

  async #bring(item: Item, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    try {
      const object = 'path' in item ? await this.#dropped(item.path, signal) : item;
      if (object) await this.#ask(object);
    } catch (error) {
      if (signal.aborted) return;
      const { bucket } = this.#given;
      const object = 'path' in item ? { bucket, key: item.path } : item;
      this.#fail(object, error, (performance.now() - began) / 1000);
    }
  }

  /** The object to ask for, or nothing where its own event brings it. */
  async #dropped(path: string, signal: AbortSignal): Promise<{ bucket: string; key: string } | undefined> {
    const { bucket } = this.#given;
    const file = await readFileInfo(path);
    const object = { bucket, key: file.key };
    this.#terminal.note(object, `dropping it into bucket ${bucket}`);
    const put = await uploadFile(this.#stack.s3, bucket, file, signal);
    return put && this.#stack.emitsEvents ? undefined : object;
  }

  /** As a person would from a console; an execution that an earlier run left unfinished is the answer already. */
  async #ask(object: { bucket: string; key: string }): Promise<void> {
    const resumed = this.#stack.executions.running().find(({ input }) => {
      const { bucket, key } = objectOf(input) ?? {};
      return bucket === object.bucket && key === object.key;
    });
    if (resumed) this.#asked.add(resumed.name);
    else await this.#stack.invokeTrigger(object);
  }

  #ended(execution: Execution): void {
    const object = objectOf(execution.input) ?? { bucket: '', key: execution.name };
    const stages = this.#terminal.forget(object);
    if (execution.status === 'FAILED') {
      this.#fail(
        object,
        { name: execution.error ?? '', message: execution.cause ?? '' },
        this.#since(execution),
      );
      return;
    }
    const telling = this.#tell(execution, v.parse(Result, execution.output), stages).finally(() => {
      this.#telling.delete(telling);
      this.#began.delete(execution.name);
      this.#asked.delete(execution.name);
    });
    this.#telling.add(telling);
  }

  async #tell(execution: Execution, result: Result, stages: string[]): Promise<void> {
    // The write-back is an event like any other; the execution that it starts finds nothing to do.
    const isEcho = result.outcome === 'unchanged' && objectOf(execution.input)?.etag !== undefined;
    if (isEcho && !this.#asked.has(execution.name)) return;
    const seconds = this.#since(execution);
    if (this.#given.json) process.stdout.write(`${jsonLine(result, seconds)}\n`);
    const [headline, ...lines] = await resultLines(this.#stack.s3, result, seconds, this.#stack.vodFilesDir);
    this.#terminal.say([headline, ...stages, ...lines].join('\n'));
  }

  /** Seconds since it began, or went on, in this run. */
  #since({ name }: Execution): number {
    return (performance.now() - (this.#began.get(name) ?? 0)) / 1000;
  }

  #fail({ bucket, key }: { bucket: string; key: string }, error: unknown, seconds: number): void {
    this.failures++;
    if (this.#given.json) process.stdout.write(`${failedJson({ bucket, key }, error, seconds)}\n`);
    const { message = '' } = error instanceof Error ? error : {};
    this.#terminal.say(failureLine(message.startsWith(key) ? undefined : key, error, this.#given.verbose));
  }
}

const objectOf = (input: unknown): UploadRequest | undefined => {
  const request = v.safeParse(UploadRequest, input);
  return request.success ? request.output : undefined;
};

/** Before any work: an address where nobody listens is best told at once, by the setting's name. */
async function checkReachable(setting: string, address: string): Promise<void> {
  if (!address) return;
  const { hostname, port, protocol } = new URL(address);
  const socket = connect({
    host: hostname,
    port: Number(port) || (protocol === 'https:' ? 443 : 80),
    timeout: 5_000,
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket
    .once('connect', resolve)
    .once('error', reject)
    .once('timeout', () => reject(new Error('no answer in 5 s')));
  try {
    await promise;
  } catch (error) {
    throw new Error(
      `${setting} ${address}: nobody answers there (${errorMessage(error)}): start it, or correct the setting`,
    );
  } finally {
    socket.destroy();
  }
}
