import {
  InvalidInput,
  ObjectChanged,
  StorageUnavailable,
  UploadIncomplete,
  UploadNotFound,
} from '../errors.ts';
import { type Deadline, DeadlineExceeded } from '../invocation/deadline.ts';
import { abortCopy } from '../s3/copy-in-parts.ts';
import { headObject, isSameVersion } from '../s3/head-object.ts';
import type { CopyCheckpoint, FinishInput, FinishJob, FinishOutput, Outcome } from '../schemas.ts';
import type { CloseResult } from '../vod/target.ts';
import { isCopiedInParts, type MarkedFile } from '../write-back/marker.ts';
import { unchanged, type WriteBackResult, writeBack } from '../write-back/write-back.ts';
import { type OpenCopy, writeBackInParts } from '../write-back/write-back-in-parts.ts';
import { abandonUpload, finalResult, joinNotes, leaveAdmission, resultFromError, sumSent } from './result.ts';
import type { Services } from './services.ts';

/** The rounds of one execution, and of each of its redrives. */
const MAX_ROUNDS = 5;

type JobState = Omit<FinishJob, 'upload' | 'parts' | 'file' | 'copy'>;

/**
 * Completes the upload and stores the `fileId` on the object. Returns to Init if VOD lacks parts, and to Finish while an
 * object is copied in parts.
 * @throws {UploadIncomplete} {UnsupportedObject} {ContentMismatch} and the errors of S3 and VOD
 */
export async function runFinish(
  { job, redrives }: FinishInput,
  services: Services,
  deadline: Deadline,
): Promise<FinishOutput> {
  const { upload, parts = [], file: stored, copy, ...rest } = job;
  let state: JobState = { ...rest, sent: sumSent([job.sent, ...parts]) };
  let file = stored;
  try {
    const restartReason = parts.find((batch) => batch.restartReason !== undefined)?.restartReason;
    if (restartReason !== undefined) return nextRound(state, redrives, restartReason);
    if (upload?.hasMore) return { ...state, next: 'init' }; // the rest of the plan, not a failed round
    if (!copy) await leaveAdmission(job, services);
    if (!file) {
      const closed = await closeUpload(state, upload, services, deadline);
      if (closed.state === 'waiting') {
        const { session, waitSeconds } = closed;
        return { ...state, next: 'wait', session, waitSeconds };
      }
      const { crc64 = state.crc64 } = closed;
      const note = joinNotes(state.note, closed.note);
      file = closed.file;
      state = { ...state, ...(crc64 !== undefined && { crc64 }), ...(note !== undefined && { note }) };
    }
    const written = await writeBackAny(state, { ...file, crc64: state.crc64 }, services, deadline, copy);
    if ('copy' in written) return { ...state, next: 'finish', file, copy: written.copy };
    const { to, reason } = written;
    return finalResult(state, outcomeOf(state, to), { ...file, ...(reason && { reason }) });
  } catch (error) {
    if (error instanceof UploadNotFound) return nextRound(state, redrives, error);
    // A retry must not close the upload again.
    if (file && !stored && (error instanceof StorageUnavailable || error instanceof DeadlineExceeded))
      return { ...state, next: 'finish', file };
    const result = resultFromError(error, state);
    if (!file) await abandonUpload(state, services, deadline);
    return result;
  }
}

async function closeUpload(
  { pin, session, sha1, sent }: JobState,
  upload: FinishJob['upload'],
  { vod }: Services,
  { signal }: Deadline,
): Promise<CloseResult> {
  if (session === undefined)
    throw new InvalidInput(`s3://${pin.bucket}/${pin.key}: expected an open upload (session), got none.`);
  return vod.close({ pin, session, sha1, bounds: upload, runs: sent.runs ?? [] }, signal);
}

function outcomeOf({ sent }: JobState, writtenTo: WriteBackResult['to']): Outcome {
  if (sent.parts > 0) return 'uploaded';
  return writtenTo === 'unchanged' ? 'unchanged' : 'instant';
}

/** A redrive adds a series of rounds, because an operator decided to try again. */
function nextRound(job: JobState, redrives: number, cause: string | UploadNotFound): FinishOutput {
  const round = job.round + 1;
  const [reason, newNote] = typeof cause === 'string' ? [cause] : [cause.message, cause.note];
  const note = joinNotes(job.note, newNote);
  if (round < MAX_ROUNDS * (1 + redrives))
    return { ...job, ...(note !== undefined && { note }), next: 'init', round };
  const { bucket, key } = job.request;
  throw new UploadIncomplete(
    `FinishUpload s3://${bucket}/${key}: VOD still lacks parts after ${round} rounds. Redrive the execution. ` +
      `Last reason: ${reason}`,
  );
}

/** Attempts while a large object changes in other ways than its bytes. */
const MAX_ATTEMPTS = 3;

async function writeBackAny(
  { pin }: JobState,
  file: MarkedFile,
  { s3, writeBack: settings }: Services,
  deadline: Deadline,
  copy: CopyCheckpoint | undefined,
): Promise<WriteBackResult | OpenCopy> {
  const { signal } = deadline;
  if (!isCopiedInParts(pin, settings)) return writeBack(s3, pin, file, signal, settings);
  for (let attempt = 1; ; attempt++) {
    try {
      return await writeBackInParts(s3, pin, file, settings, deadline, copy);
    } catch (error) {
      if (!(error instanceof ObjectChanged)) throw error;
      if (attempt < MAX_ATTEMPTS) continue;
      const { pin: now } = await headObject(s3, pin, signal);
      if (isSameVersion(now, pin)) throw unchanged(error, attempt);
      if (copy) await abortCopy(s3, pin, copy.uploadId);
      throw error;
    }
  }
}
