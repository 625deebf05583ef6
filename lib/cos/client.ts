import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { PartRejected, UploadNotFound, VodRejected, VodUnavailable } from '../errors.ts';
import { retryUnavailable } from '../invocation/retries.ts';
import { type Crcs, createCrcCalculator } from '../upload/crc64.ts';
import {
  CompleteResult,
  type CosResponse,
  CreateResult,
  isFailure,
  ListPartsResult,
  ListUploadsResult,
  parseResponse,
  toCosError,
  Uint64,
  unquote,
} from './responses.ts';
import { type Checks, type CosCall, type CosObject, createCosTransport, StreamedBody } from './transport.ts';

export type { CosKeys, CosObject } from './transport.ts';

/** The bytes of a part, or a function that reads them as a stream, again for each attempt. */
export type PartBody = Uint8Array | (() => AsyncIterable<Uint8Array>);

/** A part to send. `number` starts at 1. */
export type NewPart = Readonly<{ uploadId: string; number: number; size: number; body: PartBody }>;

/** A part that COS holds. `etag`: its MD5 in hex. */
export type StoredPart = Readonly<{ number: number; size: number; etag: string }>;

/** `crc64`: the CRC-64/XZ of the whole object. Objects from other programs may have none. */
export type StoredObject = Readonly<{ etag: string; crc64: bigint | undefined }>;

/**
 * The operations of COS that an upload needs. Each call retries, then throws {VodUnavailable}, {VodRejected}, {UploadNotFound} if
 * its temporary keys have expired, or the reason of the signal.
 */
export type CosClient = Readonly<{
  /** Stores an object. @returns the CRCs of its bytes @throws {PartRejected} when COS received other bytes */
  putObject(at: CosObject, bytes: Uint8Array, signal: AbortSignal): Promise<Crcs>;
  /** Opens an upload. After an ambiguous response, it looks for the upload that the earlier attempt may have opened. @returns its ID */
  createMultipartUpload(at: CosObject, signal: AbortSignal): Promise<string>;
  /**
   * Sends a part. Resolves when COS confirms MD5 and CRC of its bytes.
   * @returns the CRCs
   * @throws {PartRejected} when COS received other bytes {UploadNotFound}; the error of a stream
   */
  uploadPart(at: CosObject, part: NewPart, signal: AbortSignal): Promise<Crcs>;
  /** Lists all parts of an upload, ascending. @throws {UploadNotFound} */
  listParts(at: CosObject, uploadId: string, signal: AbortSignal): Promise<StoredPart[]>;
  /** Lists the IDs of up to 1,000 open uploads of this key. */
  listMultipartUploads(at: CosObject, signal: AbortSignal): Promise<string[]>;
  /**
   * Assembles the object from all its parts, ascending.
   * @throws {UploadNotFound} when a part is missing, or the upload has ended, perhaps because an earlier attempt completed it
   */
  completeMultipartUpload(
    at: CosObject,
    uploadId: string,
    parts: readonly Pick<StoredPart, 'number' | 'etag'>[],
    signal: AbortSignal,
  ): Promise<StoredObject>;
  /** Removes an upload and its parts, if it is still open. */
  abortMultipartUpload(at: CosObject, uploadId: string, signal: AbortSignal): Promise<void>;
  /** Returns undefined if there is no object. */
  headObject(at: CosObject, signal: AbortSignal): Promise<(StoredObject & { size: number }) | undefined>;
  /** Closes idle connections. */
  close(): void;
}>;

/** COS assembles the object before it responds. */
const COMPLETE_TIMEOUT_MS = 180_000;

const CRC64_HEADER = 'x-cos-hash-crc64ecma';

/** @param endpoint replaces the address of every bucket: `http://127.0.0.1:9000` */
export function createCosClient({ endpoint }: { endpoint?: URL | undefined } = {}): CosClient {
  const transport = createCosTransport(endpoint);
  let calculator: ReturnType<typeof createCrcCalculator> | undefined;
  const loadCalculator = () => {
    calculator ??= createCrcCalculator();
    return calculator;
  };

  /** Sends one request. @throws an error for a failure */
  async function attempt(at: CosObject, call: CosCall, signal: AbortSignal): Promise<CosResponse> {
    const response = await transport.send(at, call, signal);
    if (isFailure(response)) throw toCosError(call.operation, response);
    return response;
  }

  async function sendBytes(
    at: CosObject,
    call: Omit<CosCall, 'method' | 'body'>,
    { body, size }: Pick<NewPart, 'body' | 'size'>,
    signal: AbortSignal,
  ): Promise<Crcs> {
    const crcsOf = await loadCalculator();
    const { operation } = call;
    if (body instanceof Uint8Array) {
      const md5 = createHash('md5').update(body).digest();
      const sent = { md5: md5.toString('hex'), crcs: crcsOf(body) };
      const put = {
        ...call,
        method: 'PUT',
        headers: { 'content-md5': md5.toString('base64') },
        body,
      } as const;
      return retryUnavailable(signal, async () =>
        checkReceived(operation, await attempt(at, put, signal), sent),
      );
    }
    const stream = new StreamedBody(size, body, crcsOf);
    const put = { ...call, method: 'PUT', body: stream } as const;
    return retryUnavailable(signal, async () => {
      const response = await attempt(at, put, signal);
      return checkReceived(operation, response, stream.checks);
    });
  }

  async function listUploads(at: CosObject, signal: AbortSignal): Promise<string[]> {
    const operation = `ListMultipartUploads of ${describe(at)}`;
    const query = { uploads: '', prefix: at.key, 'max-uploads': '1000' };
    const { text } = await attempt({ ...at, key: '' }, { operation, method: 'GET', query }, signal);
    const uploads = parseResponse(operation, ListUploadsResult, text);
    return uploads.filter(({ key }) => key === at.key).map(({ uploadId }) => uploadId);
  }

  return {
    putObject: (at, bytes, signal) =>
      sendBytes(
        at,
        { operation: `PutObject ${describe(at)}` },
        { body: bytes, size: bytes.byteLength },
        signal,
      ),

    createMultipartUpload(at, signal) {
      const operation = `CreateMultipartUpload ${describe(at)}`;
      return retryUnavailable(signal, async (attempts) => {
        const [open] = attempts > 1 ? await listUploads(at, signal).catch(ignoreRejected) : [];
        if (open !== undefined) return open;
        const { text } = await attempt(at, { operation, method: 'POST', query: { uploads: '' } }, signal);
        return parseResponse(operation, CreateResult, text);
      });
    },

    uploadPart(at, { uploadId, number, body, size }, signal) {
      const operation = `UploadPart ${number} of ${describe(at)}, ${size} bytes`;
      const query = { partNumber: String(number), uploadId };
      return sendBytes(at, { operation, query }, { body, size }, signal);
    },

    async listParts(at, uploadId, signal) {
      const operation = `ListParts of ${describe(at)}`;
      const parts: StoredPart[] = [];
      const listPage = async (marker: number) => {
        const query = { uploadId, 'max-parts': '1000', 'part-number-marker': String(marker) };
        const { text } = await attempt(at, { operation, method: 'GET', query }, signal);
        const page = parseResponse(operation, ListPartsResult, text);
        if (page.next === undefined || page.next > marker) return page;
        const problem = `expected NextPartNumberMarker after ${marker}, got ${page.next}`;
        throw new VodUnavailable(`${operation}: ${problem}.`);
      };
      for (let marker: number | undefined = 0; marker !== undefined; ) {
        const from: number = marker;
        const page = await retryUnavailable(signal, () => listPage(from));
        parts.push(...page.parts);
        marker = page.next;
      }
      return parts;
    },

    listMultipartUploads: (at, signal) => retryUnavailable(signal, () => listUploads(at, signal)),

    completeMultipartUpload(at, uploadId, parts, signal) {
      const operation = `CompleteMultipartUpload ${describe(at)}`;
      const body = Buffer.from(writeCompletion(parts));
      const call = {
        operation,
        method: 'POST',
        query: { uploadId },
        body,
        timeoutMs: COMPLETE_TIMEOUT_MS,
      } as const;
      const headers = { 'content-type': 'application/xml' };
      return retryUnavailable(signal, async () => {
        const response = await attempt(at, { ...call, headers }, signal);
        const etag = parseResponse(operation, CompleteResult, response.text);
        return { etag, crc64: readCrc64(operation, response) };
      });
    },

    async abortMultipartUpload(at, uploadId, signal) {
      const operation = `AbortMultipartUpload ${describe(at)}`;
      try {
        await retryUnavailable(signal, () =>
          attempt(at, { operation, method: 'DELETE', query: { uploadId } }, signal),
        );
      } catch (error) {
        if (!(error instanceof UploadNotFound)) throw error;
      }
    },

    headObject(at, signal) {
      const operation = `HEAD ${describe(at)}`;
      return retryUnavailable(signal, async () => {
        const response = await transport.send(at, { operation, method: 'HEAD' }, signal);
        if (response.status === 404) return undefined;
        if (isFailure(response)) throw toCosError(operation, response);
        const { 'content-length': size = '', etag = '' } = response.headers;
        if (!/^\d{1,15}$/.test(size) || etag === '')
          throw new VodUnavailable(
            `${operation}: expected Content-Length and ETag, got "${size}" and ${etag}`,
          );
        return { size: Number(size), etag: unquote(etag), crc64: readCrc64(operation, response) };
      });
    },

    close: transport.close,
  };
}

const describe = ({ bucket, key }: CosObject): string => `cos://${bucket}/${key}`;

/** Temporary keys may lack the permission to list. */
function ignoreRejected(error: unknown): never[] {
  if (error instanceof VodRejected) return [];
  throw error;
}

function readCrc64(operation: string, { headers }: CosResponse): bigint | undefined {
  return parseResponse(`${operation}: ${CRC64_HEADER}`, v.optional(Uint64), headers[CRC64_HEADER]);
}

/** Compares the checksums in the response with those of the bytes that were sent. @throws {PartRejected} {VodUnavailable} */
function checkReceived(operation: string, response: CosResponse, sent: Checks | undefined): Crcs {
  if (!sent)
    throw new VodUnavailable(`${operation}: expected a response after the body, got one before its end.`);
  const { md5, crcs } = sent;
  const etag = unquote(response.headers.etag ?? '');
  if (etag.toLowerCase() !== md5)
    throw new PartRejected(`${operation}: expected ETag ${md5}, got ${etag || 'none'}.`);
  const crc64 = readCrc64(operation, response);
  if (crc64 === undefined) throw new VodUnavailable(`${operation}: expected ${CRC64_HEADER}, got none.`);
  if (crc64 !== crcs.crc64)
    throw new PartRejected(`${operation}: expected ${CRC64_HEADER} ${crcs.crc64}, got ${crc64}.`);
  return crcs;
}

/** MD5 digests need no escaping. */
const writeCompletion = (parts: readonly Pick<StoredPart, 'number' | 'etag'>[]): string =>
  `<CompleteMultipartUpload>${parts
    .map(({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>"${etag}"</ETag></Part>`)
    .join('')}</CompleteMultipartUpload>`;
