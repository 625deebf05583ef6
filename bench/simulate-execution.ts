import { StateMachine } from 'aws-local-stepfunctions';
import { localStateMachineJson } from '../deploy/state-machine.ts';
import { type Batch, FinishJob, InitInput, PartInput, parse, type UploadBounds } from '../lib/schemas.ts';
import { decodeBatch, encodeBatch, missingParts, planBatches } from '../lib/upload/plan.ts';
import { type Entered, isKind } from './history.ts';

/** The state machine that ships, run through for an object too large to be measured: the functions only say what they would. */

export type SimulatedObject = Readonly<{
  size: number;
  /** Whether the service lacks this part when the upload is opened. */
  isMissing: (part: number) => boolean;
  /** Parts a second that one invocation sends, and bytes a second that one hashes: slower means more hand-overs. */
  partsPerSecond: number;
  hashBytesPerSecond: number;
}>;

export type SimulatedRun = Readonly<{
  entered: Entered;
  largestState: number;
  invocations: number;
  sentParts: number;
}>;

type Json = Parameters<StateMachine['run']>[0];

/** Of an invocation's 15 minutes, what is left for work (`lib/deadline.ts`). */
const WORKING_SECONDS = 890;
const PART_SIZE = 1_048_576;
const SHA1 = '0123456789abcdef0123456789abcdef01234567';

export async function simulateExecution(journey: SimulatedObject): Promise<SimulatedRun> {
  const machine = new StateMachine(JSON.parse(localStateMachineJson()));
  const entered = { Task: 0, Map: 0, Choice: 0, Pass: 0, Succeed: 0, items: 0 };
  let [largestState, invocations, sentParts] = [0, 0, 0];
  const noteSize = (state: unknown): void => {
    largestState = Math.max(largestState, Buffer.byteLength(JSON.stringify(state)));
  };
  const invoked =
    (handler: (input: unknown) => unknown) =>
    (input: unknown): Json => {
      invocations++;
      noteSize(input);
      const output = handler(input);
      noteSize(output);
      return JSON.parse(JSON.stringify(output)); // what passes is JSON
    };

  const bounds: UploadBounds = parse(
    PartInput.entries.upload,
    { sha1: SHA1, size: journey.size, partSize: PART_SIZE },
    'bounds',
  );
  const missing = new Set(missingParts([], bounds).filter(journey.isMissing));

  const { result, eventLogs } = machine.run(
    {
      bucket: 'a-bucket-with-a-name-of-the-usual-length',
      key: `${'folder/'.repeat(16)}a long name of a video.mp4`,
    },
    {
      overrides: {
        taskResourceLocalHandlers: {
          Init: invoked((input) => init(parse(InitInput, input, 'init'))),
          Part: invoked((input) => part(parse(PartInput, input, 'part'))),
          Finish: invoked((input) => finish(parse(FinishJob, (input as { job: unknown }).job, 'finish'))),
        },
      },
      context: { Execution: { Name: 'x'.repeat(80), RedriveCount: 0 }, State: { RetryCount: 0 } },
    },
  );

  function init(job: InitInput): unknown {
    const pin = { ...job.request, etag: '0'.repeat(32), size: journey.size };
    const hashed = (job.hash?.offset ?? 0) + WORKING_SECONDS * journey.hashBytesPerSecond;
    if (!job.sha1 && hashed < journey.size) {
      return { ...job, next: 'hash', pin, hash: { offset: hashed, state: 'x'.repeat(128) } };
    }
    const { hash: _, ...rest } = job;
    const plan = planBatches([...missing]);
    return { ...rest, next: 'parts', pin, sha1: SHA1, upload: { ...bounds, ...plan } };
  }

  function part({ batch, sent, ...rest }: PartInput): unknown {
    const parts = decodeBatch(batch);
    const now = parts.slice(0, Math.floor(WORKING_SECONDS * journey.partsPerSecond));
    for (const one of now) missing.delete(one);
    sentParts += now.length;
    const left = parts.slice(now.length);
    const total = { parts: sent.parts + now.length, bytes: sent.bytes + now.length * PART_SIZE };
    const next: { batch?: Batch } = left.length > 0 ? { batch: encodeBatch(left) } : {};
    return { ...rest, sent: total, ...next };
  }

  function finish(job: FinishJob): unknown {
    const { upload: _, parts: __, ...rest } = job;
    if (missing.size > 0) return { ...rest, next: 'init', round: job.round + 1 };
    const { bucket, key } = job.request;
    return { next: 'done', bucket, key, outcome: 'uploaded', sent: job.sent };
  }

  for await (const event of eventLogs) {
    if (event.type === 'MapIterationStarted') entered.items++;
    if (event.type === 'StateEntered' && isKind(event.state.type)) entered[event.state.type]++;
  }
  noteSize(await result);
  return { entered, largestState, invocations, sentParts };
}
