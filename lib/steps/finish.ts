import type { Deadline } from '../deadline.ts';
import { ObjectChanged, StorageUnavailable, UploadIncomplete, UploadNotFound } from '../errors.ts';
import { headObject } from '../s3/head-object.ts';
import type { FinishInput, FinishJob, FinishOutput, SentTotals, StoredFile } from '../schemas.ts';
import { type WriteBackResult, writeBack } from '../write-back/write-back.ts';
import { finalResult, resultFromError } from './result.ts';
import type { Services } from './services.ts';

/** How often an upload that turns out to lack parts goes back to Init, in one run of the execution and in each redrive. */
const MAX_ROUNDS = 5;

/** How often the write-back looks again when the object seemed to change under it and did not. */
const MAX_ATTEMPTS = 3;

/**
 * What Finish does: close the upload and write the `fileId` back onto the object; or go back to Init, when the service
 * has not got all parts.
 * @throws {UploadIncomplete} {UnsupportedObject} {ContentMismatch} and what S3 and VOD may throw
 */
export async function runFinish(
  input: FinishInput,
  services: Services,
  deadline: Deadline,
): Promise<FinishOutput> {
  const { upload, parts = [], file: stored, ...journey } = input.job;
  const job = { ...journey, sent: sumSent([input.job.sent, ...parts]) };
  try {
    const restartReason = parts.find((run) => run.restartReason !== undefined)?.restartReason;
    if (restartReason !== undefined) return nextRound(job, input.redrives, restartReason);
    if (upload?.hasMore) return { ...job, next: 'init' }; // no failed round: there was more than one plan holds
    const file = stored ?? (await services.vod.finishUpload(job.sha1, deadline.signal));
    const { to, reason } = await writeBackWithRetry(job, file, services, deadline);
    const outcome = job.sent.parts > 0 ? 'uploaded' : to === 'nowhere' ? 'unchanged' : 'instant';
    return finalResult(job, outcome, { ...file, ...(reason && { reason }) });
  } catch (error) {
    if (error instanceof UploadNotFound) return nextRound(job, input.redrives, error.message);
    return resultFromError(error, job);
  }
}

const sumSent = (runs: readonly SentTotals[]): SentTotals => ({
  parts: runs.reduce((sum, { parts }) => sum + parts, 0),
  bytes: runs.reduce((sum, { bytes }) => sum + bytes, 0),
});

type JobState = Omit<FinishJob, 'upload' | 'parts' | 'file'>;

/** A redrive begins a new series of rounds: it is somebody's word that it is worth another try. */
function nextRound(job: JobState, redrives: number, reason: string): FinishOutput {
  const round = job.round + 1;
  const { bucket, key } = job.request;
  if (round >= MAX_ROUNDS * (1 + redrives)) {
    throw new UploadIncomplete(
      `s3://${bucket}/${key}: the upload is not whole after ${round} rounds of sending what was missing; last: ${reason}`,
    );
  }
  return { ...job, next: 'init', round };
}

async function writeBackWithRetry(
  { pin }: JobState,
  file: StoredFile,
  { s3, writeBack: settings }: Services,
  { signal }: Deadline,
): Promise<WriteBackResult> {
  for (let look = 1; ; look++) {
    try {
      return await writeBack(s3, pin, file, signal, settings);
    } catch (error) {
      if (!(error instanceof ObjectChanged)) throw error;
      if (look < MAX_ATTEMPTS) continue;
      const { pin: now } = await headObject(s3, pin, signal);
      if (now.etag !== pin.etag || now.versionId !== pin.versionId) throw error;
      // Nobody's event brings it: it is the pinned one, whatever S3 says of the copy's conditions.
      throw new StorageUnavailable(
        `${error.message}: refused ${MAX_ATTEMPTS} times, and it is the same object still`,
        {
          cause: error,
        },
      );
    }
  }
}
