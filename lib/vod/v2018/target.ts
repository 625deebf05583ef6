import type { VodSecrets } from '../../config.ts';
import type { CosClient, CosObject, StoredObject } from '../../cos/client.ts';
import { ContentMismatch, errorMessage, UploadNotFound, VodRejected, VodUnavailable } from '../../errors.ts';
import { type Clock, systemClock } from '../../invocation/deadline.ts';
import type { ObjectVersion, PartRun, StoredFile, UploadBounds } from '../../schemas.ts';
import { crcsOfObject, runOfPart } from '../../upload/crc64.ts';
import { type HeldPart, missingParts } from '../../upload/plan.ts';
import type { EarlierUpload, NewFile, OpenResult, VodTarget } from '../target.ts';
import type { CommittedFile, VodApi } from './api.ts';
import { checkCover, checkFile, MULTIPART_BYTES, partsInFlight, planUpload } from './limits.ts';
import { createPacer } from './pace.ts';
import { recognizeFile } from './recognize.ts';
import { createSessionSealer, type Session, secondsLeft } from './session.ts';

export type TargetOptions = Readonly<{
  api: VodApi;
  cos: CosClient;
  secrets: VodSecrets;
  storageRegion: string | undefined;
  /** Those of one object that send parts concurrently. */
  maxFunctions: number;
  clock?: Clock;
}>;

/**
 * API 2018-07-17: ApplyUpload opens a session with temporary keys, COS receives the bytes, and CommitUpload makes a file of them.
 * Each session makes another file. So a session is continued as long as it can be.
 */
export function createTarget({
  api,
  cos,
  secrets,
  storageRegion,
  maxFunctions,
  clock = systemClock,
}: TargetOptions): VodTarget {
  const sealer = createSessionSealer(secrets.secretKey);
  const pace = createPacer(clock);
  const leftOf = (session: Session): number => secondsLeft(session, clock.now());

  const objectOf = ({ bucket, region, path, keys }: Session): CosObject => ({
    ...{ bucket, region, key: path },
    keys: keys ? { ...keys, expires: Math.floor(keys.expiresAt / 1000) } : secrets,
  });

  const abort = async (session: Session, signal: AbortSignal): Promise<void> => {
    if (session.uploadId !== undefined)
      await cos.abortMultipartUpload(objectOf(session), session.uploadId, signal);
  };

  /** Continues an upload. Returns undefined if it has ended, or cannot send the rest in time. */
  async function resume(
    pin: ObjectVersion,
    { session: sealed, runs }: EarlierUpload,
    signal: AbortSignal,
  ): Promise<OpenResult | undefined> {
    let session: Session | undefined;
    try {
      session = sealer.open(sealed, pin);
      const { uploadId } = session;
      const { partSize, functions } = planUpload(pin.size, maxFunctions);
      if (uploadId === undefined) return undefined;
      if (leftOf(session) > 0) {
        const stored = await cos.listParts(objectOf(session), uploadId, signal);
        const held = stored
          .filter(({ number }) => runs.some((run) => isPartOf(run, number - 1)))
          .map(({ number, size }) => ({ offset: (number - 1) * partSize, dataSize: size }));
        const rest = missingParts(held, { size: pin.size, partSize }).length * partSize;
        if (planUpload(rest, functions).seconds < leftOf(session))
          return { state: 'open', session: sealed, partSize, functions, held };
      }
    } catch (error) {
      // COS also rejects keys whose upload was committed.
      if (!(error instanceof UploadNotFound || error instanceof VodRejected)) throw error;
    }
    if (session) await abort(session, signal).catch(() => signal.throwIfAborted());
    return undefined;
  }

  async function openNew(
    { pin, fileName, fileType, options, execution }: NewFile,
    signal: AbortSignal,
  ): Promise<Extract<OpenResult, { state: 'open' }>> {
    const { classId, procedure, expireTime, sourceContext = execution, tags = [] } = options;
    const applied = await api.applyUpload(
      {
        mediaType: fileType,
        mediaName: fileName,
        classId,
        procedure,
        expireTime,
        storageRegion,
        sourceContext,
      },
      signal,
    );
    const session: Session = { ...applied, sourceContext, ...(tags.length > 0 && { tags }) };
    const { partSize, functions, seconds } = planUpload(pin.size, maxFunctions);
    const left = leftOf(session);
    if (left < seconds)
      throw new VodRejected(
        `ApplyUpload s3://${pin.bucket}/${pin.key}: expected keys that last ${seconds} seconds for ${pin.size} bytes and ` +
          `ten minutes more, got keys that leave ${left} seconds. Check the clock, or increase MAX_FUNCTIONS.`,
      );
    const uploadId =
      pin.size < MULTIPART_BYTES ? undefined : await cos.createMultipartUpload(objectOf(session), signal);
    const sealed = sealer.seal({ ...session, ...(uploadId !== undefined && { uploadId }) }, pin);
    return { state: 'open', session: sealed, partSize, functions, held: [] };
  }

  /** Makes the bytes in COS one object, or finds the object that an earlier attempt has made. @throws {UploadNotFound} */
  async function complete(
    session: Session,
    bounds: UploadBounds,
    signal: AbortSignal,
  ): Promise<StoredObject> {
    const at = objectOf(session);
    let failure: unknown = new UploadNotFound(
      `HEAD ${session.path}: expected ${bounds.size} bytes, got none.`,
    );
    try {
      if (session.uploadId !== undefined) {
        const parts = await cos.listParts(at, session.uploadId, signal);
        const held = parts.map(({ number, size }): HeldPart => {
          return { offset: (number - 1) * bounds.partSize, dataSize: size };
        });
        const missing = missingParts(held, bounds).length;
        if (missing > 0) throw new MissingParts(missing);
        const done = await cos.completeMultipartUpload(at, session.uploadId, parts, signal);
        if (done.crc64 !== undefined) return done;
      }
    } catch (error) {
      if (error instanceof MissingParts) throw new UploadNotFound(error.message);
      // An earlier attempt may have completed it, or even committed it, after which COS rejects the keys.
      if (!(error instanceof UploadNotFound || error instanceof VodRejected)) throw error;
      failure = error;
    }
    const stored = await cos.headObject(at, signal);
    if (stored?.size !== bounds.size) throw failure;
    return stored;
  }

  /** Commits the object. If the session has ended, finds the file that an earlier attempt has made. */
  async function commit(session: Session, signal: AbortSignal): Promise<CommittedFile> {
    try {
      return await api.commitUpload(session, signal);
    } catch (error) {
      if (!(error instanceof UploadNotFound)) throw error;
      const file = await recognizeFile(api, session, signal);
      if (file) return file;
      const note =
        'VOD ended an upload during its commit. ' +
        `It may have a second file, whose SourceContext is ${session.sourceContext}`;
      throw new UploadNotFound(error.message, { cause: error, note });
    }
  }

  async function closeSession(
    session: Session,
    bounds: UploadBounds,
    expected: bigint,
    signal: AbortSignal,
  ): Promise<CommittedFile> {
    let stored: StoredObject;
    try {
      stored = await complete(session, bounds, signal);
    } catch (error) {
      if (!(error instanceof UploadNotFound)) throw error;
      // With expired keys, only the API shows whether an earlier attempt committed the upload.
      const file = await recognizeFile(api, session, signal);
      if (file) return file;
      throw error;
    }
    if (stored.crc64 === undefined)
      throw new VodUnavailable(`HEAD ${session.path}: expected x-cos-hash-crc64ecma, got none.`);
    if (stored.crc64 !== expected)
      throw new ContentMismatch(
        `CommitUpload ${session.path}: expected the CRC64 ${expected} of the bytes that were sent, got ${stored.crc64} ` +
          'from COS. Nothing was committed. Start the object again.',
      );
    return commit(session, signal);
  }

  /** Sets what ApplyUpload cannot take. The file is stored, so no failure may start another upload. @returns a fact for the outcome */
  async function addTags(
    file: CommittedFile,
    tags: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    if (tags === undefined) return undefined;
    try {
      await api.modifyMediaInfo({ fileId: file.fileId, addTags: tags }, signal);
      return undefined;
    } catch (error) {
      return `the file has no tags: ${errorMessage(error)}`;
    }
  }

  return {
    needsSha1: false,
    partsInFlight,
    check: checkFile,

    async open(file, earlier, signal) {
      const resumed = earlier && (await resume(file.pin, earlier, signal));
      if (resumed) return resumed;
      const opened = await openNew(file, signal);
      const lost = earlier?.runs.reduce((sum, { count }) => sum + count, 0) ?? 0;
      if (lost === 0) return opened;
      return {
        ...opened,
        note: `an upload ended before it was complete, so ${lost} parts were sent in vain`,
      };
    },

    async sendPart({ pin, session: sealed, functions }, { part, range }, body, signal) {
      const session = sealer.open(sealed, pin);
      if (leftOf(session) === 0)
        throw new UploadNotFound(
          `UploadPart ${part + 1} of ${session.path}: expected keys that last ten minutes more, got keys that end sooner.`,
        );
      await pace(functions, signal);
      const { uploadId } = session;
      const at = objectOf(session);
      const crcs =
        uploadId === undefined && body instanceof Uint8Array
          ? await cos.putObject(at, body, signal)
          : await cos.uploadPart(
              at,
              { uploadId: uploadId ?? '', number: part + 1, size: range.size, body },
              signal,
            );
      const { crc64, nvme } = runOfPart(part, crcs);
      return { crc64, nvme };
    },

    async close({ pin, session: sealed, sha1, bounds, runs }, signal) {
      const session = sealer.open(sealed, pin);
      const whole = bounds && crcsOfObject(runs, bounds);
      if (!whole)
        throw new UploadNotFound(
          `CompleteMultipartUpload ${session.path}: expected the checksums of all parts, got those of some.`,
        );
      const file = await closeSession(session, bounds, whole.crc64, signal);
      return {
        state: 'stored',
        file: { ...file, ...(sha1 !== undefined && { sha1 }) },
        crc64: toBase64(whole.nvme),
        note: await addTags(file, session.tags, signal),
      };
    },

    abandon: ({ pin, session }, signal) => abort(sealer.open(session, pin), signal),

    async attachCover(image, signal): Promise<StoredFile> {
      checkCover(image);
      const { coverUrl } = await api.modifyMediaInfo({ fileId: image.coverOf, cover: image.bytes }, signal);
      return { fileId: image.coverOf, url: coverUrl, sha1: image.sha1 };
    },

    disconnect() {
      api.close();
      cos.close();
    },
  };
}

class MissingParts extends Error {
  constructor(missing: number) {
    super(`CompleteMultipartUpload: expected all parts, got a list without ${missing} of them.`);
  }
}

const isPartOf = ({ first, count }: PartRun, part: number): boolean => part >= first && part < first + count;

/** As S3 writes a CRC64NVME. */
function toBase64(crc: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(crc);
  return bytes.toString('base64');
}
