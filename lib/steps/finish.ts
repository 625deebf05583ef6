import type { Deadline } from '../deadline.ts';
import { ObjectChanged, StorageUnavailable, UploadIncomplete, UploadLost } from '../errors.ts';
import { find } from '../s3/head-object.ts';
import type { FinishInput, FinishJob, FinishOutput, Sent, StoredFile } from '../schemas.ts';
import { type WrittenBack, writeBack } from '../write-back/write-back.ts';
import { done, endedBy } from './result.ts';
import type { Services } from './services.ts';

/** How often an upload that turns out to lack parts goes back to Init, in one run of the execution and in each redrive. */
const ROUNDS = 5;

/** How often the write-back looks again when the object seemed to change under it and did not. */
const LOOKS = 3;

/**
 * What Finish does: close the upload and write the `fileId` back onto the object; or go back to Init, when the service
 * has not got all parts.
 * @throws {UploadIncomplete} {UnfitObject} {ContentMismatch} and what S3 and VOD may throw
 */
export async function closeUpload(
  input: FinishInput,
  services: Services,
  deadline: Deadline,
): Promise<FinishOutput> {
  const { upload, parts = [], file: stored, ...journey } = input.job;
  const job = { ...journey, sent: total([input.job.sent, ...parts]) };
  try {
    const lost = parts.find((run) => run.lost !== undefined)?.lost;
    if (lost !== undefined) return again(job, input.redrives, lost);
    if (upload?.more) return { ...job, next: 'init' }; // no failed round: there was more than one plan holds
    const file = stored ?? (await services.vod.finish(job.sha1, deadline.signal));
    const { to, why } = await writeBackPinned(job, file, services, deadline);
    const outcome = job.sent.parts > 0 ? 'uploaded' : to === 'nowhere' ? 'unchanged' : 'instant';
    return done(job, outcome, { ...file, ...(why && { why }) });
  } catch (error) {
    if (error instanceof UploadLost) return again(job, input.redrives, error.message);
    return endedBy(error, job);
  }
}

const total = (runs: readonly Sent[]): Sent => ({
  parts: runs.reduce((sum, { parts }) => sum + parts, 0),
  bytes: runs.reduce((sum, { bytes }) => sum + bytes, 0),
});

type Journey = Omit<FinishJob, 'upload' | 'parts' | 'file'>;

/** A redrive begins a new series of rounds: it is somebody's word that it is worth another try. */
function again(job: Journey, redrives: number, why: string): FinishOutput {
  const round = job.round + 1;
  const { bucket, key } = job.request;
  if (round >= ROUNDS * (1 + redrives)) {
    throw new UploadIncomplete(
      `s3://${bucket}/${key}: the upload is not whole after ${round} rounds of sending what was missing; last: ${why}`,
    );
  }
  return { ...job, next: 'init', round };
}

async function writeBackPinned(
  { pin }: Journey,
  file: StoredFile,
  { s3, writeBack: settings }: Services,
  { signal }: Deadline,
): Promise<WrittenBack> {
  for (let look = 1; ; look++) {
    try {
      return await writeBack(s3, pin, file, signal, settings);
    } catch (error) {
      if (!(error instanceof ObjectChanged)) throw error;
      if (look < LOOKS) continue;
      const { pin: now } = await find(s3, pin, signal);
      if (now.etag !== pin.etag || now.versionId !== pin.versionId) throw error;
      // Nobody's event brings it: it is the pinned one, whatever S3 says of the copy's conditions.
      throw new StorageUnavailable(
        `${error.message}: refused ${LOOKS} times, and it is the same object still`,
        {
          cause: error,
        },
      );
    }
  }
}
