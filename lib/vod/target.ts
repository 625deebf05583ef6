import type {
  FileId,
  ObjectVersion,
  PartRun,
  Sha1,
  StoredFile,
  UploadBounds,
  UploadOptions,
} from '../schemas.ts';
import type { ByteRange, HeldPart } from '../upload/plan.ts';

/** The interface of the steps to a VOD API. Each folder next to this file implements it for one API. */

/** `sha1`: of the whole object, if it is known. `execution`: identifies the upload in the API. */
export type NewFile = Readonly<{
  pin: ObjectVersion;
  sha1: Sha1 | undefined;
  fileName: string;
  fileType: string;
  options: UploadOptions;
  execution: string;
}>;

export type CoverImage = Readonly<{
  sha1: Sha1;
  fileName: string;
  fileType: string;
  bytes: Uint8Array;
  coverOf: FileId;
}>;

/**
 * `session`: names the upload in later calls; only the target reads it. `stored`: VOD has the file already. `open`: VOD holds
 * these parts, and expects all parts in this size from so many concurrent functions. `fetching`: VOD reads the object itself.
 * `note`: a fact for the reason of the outcome.
 */
export type OpenResult =
  | Readonly<{ state: 'stored'; file: StoredFile }>
  | Readonly<{
      state: 'open';
      session: string;
      partSize: number;
      functions: number;
      held: Iterable<HeldPart>;
      note?: string;
    }>
  | Readonly<{ state: 'fetching'; session: string }>;

/** `runs`: of the parts that were sent to it. */
export type EarlierUpload = Readonly<{ session: string; runs: readonly PartRun[] }>;

/** An open upload, as the functions that send its parts see it. */
export type OpenUpload = UploadBounds & Readonly<{ pin: ObjectVersion; session: string; functions: number }>;

/** `part`: its number, from 0. */
export type PartOfUpload = Readonly<{ part: number; range: ByteRange }>;

/** The bytes of a part, or a function that reads them as a stream, again for each attempt. */
export type PartBody = Uint8Array | (() => AsyncIterable<Uint8Array>);

/** The CRCs of one part: 16 hex digits each. */
export type PartChecks = Pick<PartRun, 'crc64' | 'nvme'>;

/** `bounds` and `runs`: of an upload whose parts were sent. */
export type SentUpload = Readonly<{
  pin: ObjectVersion;
  session: string;
  sha1: Sha1 | undefined;
  bounds: UploadBounds | undefined;
  runs: readonly PartRun[];
}>;

/**
 * `crc64`: the CRC64NVME of the bytes that VOD received, in base64, if the target computes it. `waiting`: call `close` again
 * with this session after the time. `note`: a fact for the reason of the outcome.
 */
export type CloseResult =
  | Readonly<{ state: 'stored'; file: StoredFile; crc64?: string | undefined; note?: string | undefined }>
  | Readonly<{ state: 'waiting'; session: string; waitSeconds: number }>;

/** Each call retries, then throws {VodUnavailable}, {VodRejected}, {QuotaExceeded}, or the reason of the signal. */
export type VodTarget = Readonly<{
  /** Whether `open` needs the SHA-1 of the object. */
  needsSha1: boolean;
  /** How many parts a function sends concurrently. */
  partsInFlight(partSize: number): number;
  /**
   * Checks, before any call, what this API cannot do.
   * @throws {InvalidInput} with the name of the option {UnsupportedObject}
   */
  check(file: Omit<NewFile, 'sha1' | 'execution'>): void;
  /**
   * Opens an upload.
   * @param earlier the upload of an earlier round, which is continued, or abandoned if it has ended
   */
  open(file: NewFile, earlier: EarlierUpload | undefined, signal: AbortSignal): Promise<OpenResult>;
  /**
   * Sends a part. Resolves when VOD confirms its bytes.
   * @returns the checksums, if the target needs them in `close`
   * @throws {PartRejected} when VOD received other bytes; read them again
   * @throws {UploadNotFound} when the upload has ended
   */
  sendPart(
    upload: OpenUpload,
    part: PartOfUpload,
    body: PartBody,
    signal: AbortSignal,
  ): Promise<PartChecks | undefined>;
  /**
   * Completes the upload.
   * @throws {UploadNotFound} when VOD lacks parts, or the upload has ended {ContentMismatch} when VOD has other bytes
   */
  close(upload: SentUpload, signal: AbortSignal): Promise<CloseResult>;
  /** Removes what an upload left that will not be closed. Does nothing if that is impossible. */
  abandon(upload: Pick<SentUpload, 'pin' | 'session'>, signal: AbortSignal): Promise<void>;
  /** Attaches an image of less than 1,048,576 bytes to a file as its cover. */
  attachCover(image: CoverImage, signal: AbortSignal): Promise<StoredFile>;
  /** Closes idle connections. */
  disconnect(): void;
}>;
