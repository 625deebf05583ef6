import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { finished, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';

/** Faults that any request can meet. */
const NETWORK_FAULTS = [
  'early-reset', // the connection is reset before the request is read
  'reset', // the connection is reset after the request is read, nothing is done
  'lost-response', // the request is processed, then the connection is reset
  'truncated-body', // the connection closes in the middle of the response body
  'no-response', // no response ever arrives, nothing is done
  'stalled-body', // the response body stops in the middle, the connection stays open
  'slow-body', // the response body arrives in small pieces
  '500', // these statuses, nothing is done
  '503',
  '429',
] as const;

/**
 * Responses of a service to any of its calls, nothing is done. `rejected` and `retryable` of API 2.0 are codes below 0 with
 * `canRetry` 0 and 1. `keys-expired`: COS rejects the temporary keys of an upload from now on.
 */
const SERVICE_FAULTS = {
  s3: [],
  vod: ['rejected', 'retryable', '4400', '4500', '6000', 'not-json', 'truncated-json'],
  vod2018: ['rejected', 'limit-exceeded', 'internal-error', 'not-json', 'truncated-json'],
  cos: ['keys-expired'],
} as const;

/**
 * Faults of single calls. `upload-lost`: the service loses the upload before the call. `part-lost`: it confirms a part, then
 * loses it. `parts-unlisted`: every other stored part is missing from the list. `no-data-size`: the list has no `dataSize`.
 * `parts-not-visible`: FinishUpload does not see all parts yet. `error-in-200`: a copy or completion fails after its status
 * was sent. `keys-end-soon`: the temporary keys end in 5 minutes. `session-gone`: VOD no longer knows the upload session.
 * `wrong-crc`, `wrong-md5`: COS stored the bytes, and confirms another checksum.
 */
const CALL_FAULTS: Readonly<
  Record<keyof typeof SERVICE_FAULTS, Readonly<Record<string, readonly CallFault[]>>>
> = {
  s3: {
    CopyObject: ['error-in-200'],
    UploadPartCopy: ['error-in-200'],
    CompleteMultipartUpload: ['error-in-200'],
  },
  vod: {
    InitUpload: ['parts-unlisted', 'no-data-size', 'upload-lost'],
    UploadPart: ['part-lost', 'upload-lost'],
    FinishUpload: ['parts-not-visible', 'upload-lost'],
  },
  vod2018: {
    ApplyUpload: ['keys-end-soon'],
    CommitUpload: ['session-gone'],
  },
  cos: {
    PutObject: ['wrong-crc', 'wrong-md5'],
    UploadPart: ['wrong-crc', 'wrong-md5', 'part-lost', 'upload-lost'],
    ListParts: ['upload-lost'],
    CompleteMultipartUpload: ['error-in-200', 'wrong-crc', 'upload-lost'],
  },
};

type CallFault =
  | 'upload-lost'
  | 'part-lost'
  | 'parts-unlisted'
  | 'no-data-size'
  | 'parts-not-visible'
  | 'error-in-200'
  | 'keys-end-soon'
  | 'session-gone'
  | 'wrong-crc'
  | 'wrong-md5';

export type Fault =
  | (typeof NETWORK_FAULTS)[number]
  | (typeof SERVICE_FAULTS)[keyof typeof SERVICE_FAULTS][number]
  | CallFault;

/** The calls of the pipeline: `vod` speaks API 2.0, `vod2018` API 2018-07-17, and `cos` takes the bytes of the latter. Other calls of a client (`PutObject`, …) meet no seeded faults. */
export const PIPELINE_CALLS = {
  s3: [
    'HeadObject',
    'ListObjectsV2',
    'GetObject',
    'GetObjectAcl',
    'GetObjectTagging',
    'PutObjectTagging',
    'GetObjectAnnotation',
    'PutObjectAnnotation',
    'ListObjectAnnotations',
    'GetBucketVersioning',
    'GetBucketLifecycleConfiguration',
    'GetObjectLockConfiguration',
    'GetBucketReplication',
    'GetBucketNotificationConfiguration',
    'CopyObject',
    'CreateMultipartUpload',
    'UploadPartCopy',
    'ListParts',
    'CompleteMultipartUpload',
    'AbortMultipartUpload',
  ],
  vod: ['InitUpload', 'UploadPart', 'FinishUpload', 'SmallFileUpload'],
  vod2018: [
    'ApplyUpload',
    'CommitUpload',
    'ModifyMediaInfo',
    'DescribeMediaInfos',
    'DescribeFileAttributes',
    'DescribeTaskDetail',
    'PullUpload',
  ],
  cos: [
    'PutObject',
    'HeadObject',
    'CreateMultipartUpload',
    'UploadPart',
    'ListParts',
    'ListMultipartUploads',
    'CompleteMultipartUpload',
    'AbortMultipartUpload',
  ],
} as const;

export type FaultyService = keyof typeof PIPELINE_CALLS;
export type ServiceCall = Readonly<{ service: FaultyService; call: string }>;

/** Selects the fault of a request when it arrives. The service waits for the decision. */
export type FaultSelector = (serviceCall: ServiceCall) => Fault | undefined | Promise<Fault | undefined>;

/** The faults that a call can meet. */
export function listFaults({ service, call }: ServiceCall): readonly Fault[] {
  if (!PIPELINE_CALLS[service].some((name) => name === call)) return [];
  return [...NETWORK_FAULTS, ...SERVICE_FAULTS[service], ...(CALL_FAULTS[service][call] ?? [])];
}

/**
 * Each request of the pipeline meets a fault with probability `rate` (0 to 1). With the same seed, the n-th request of a
 * call always meets the same fault.
 */
export function createSeededFaults(rate: number, seed: number): FaultSelector {
  const count = createCallCounter();
  return (serviceCall) => {
    const text = `${seed} ${serviceCall.service} ${serviceCall.call} ${count(serviceCall)}`;
    const random = createHash('sha256').update(text).digest();
    const faults = listFaults(serviceCall);
    return random.readUInt32BE(0) / 2 ** 32 < rate
      ? faults[random.readUInt32BE(4) % faults.length]
      : undefined;
  };
}

/** Numbers the requests of each call, from 0. */
export function createCallCounter(): (serviceCall: ServiceCall) => number {
  const counts = new Map<string, number>();
  return ({ service, call }) => {
    const name = `${service} ${call}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return count;
  };
}

/** Marks, in the `User-Agent`, clients that are not part of the pipeline. */
const BYPASS_MARKER = 's3-vod-bypass-faults';

/** Exempts a client's requests from faults, for uploads of local files and for tests. */
export function bypassFaults(client: S3Client): S3Client {
  client.config.customUserAgent = [[BYPASS_MARKER]];
  return client;
}

export const selectFault = async (
  faults: FaultSelector | undefined,
  request: IncomingMessage,
  serviceCall: () => ServiceCall,
): Promise<Fault | undefined> =>
  faults && !request.headers['user-agent']?.includes(BYPASS_MARKER) ? faults(serviceCall()) : undefined;

/** Injects the faults that precede any work. Returns whether the request ends here. */
export async function injectFault(fault: Fault, request: IncomingMessage): Promise<boolean> {
  switch (fault) {
    case 'early-reset':
      reset(request.socket);
      return true;
    case 'reset':
      await new Promise((resolve) => finished(request.resume(), resolve));
      reset(request.socket);
      return true;
    case 'no-response':
      request.resume(); // the client gives up
      return true;
    default:
      return false;
  }
}

/** Node cannot reset a socket that is already ending, and would never close it. */
const reset = (socket: Socket | null): void =>
  void (socket?.writable ? socket.resetAndDestroy() : socket?.destroy());

const BODY_FAULTS: readonly unknown[] = [
  'lost-response',
  'truncated-body',
  'stalled-body',
  'slow-body',
] satisfies Fault[];

/** Returns the stream for the response body: `out`, or a stream that injects the fault on the way to `out`. */
export function corruptResponse(fault: Fault | undefined, response: ServerResponse, out: Writable): Writable {
  if (!BODY_FAULTS.includes(fault)) return out;
  const body = new Writable({
    write(chunk: Buffer, _, done) {
      if (fault === 'slow-body') writeSlowly(chunk, out).then(() => done(), done);
      // Status and headers are sent with the first bytes of the body.
      else if (fault === 'lost-response') reset(response.socket);
      else
        out.write(
          chunk.subarray(0, chunk.length >> 1),
          () => fault === 'truncated-body' && response.socket?.destroy(),
        );
    },
    final(done) {
      if (fault === 'slow-body') out.end(done);
      else if (fault !== 'stalled-body') reset(response.socket); // the response has no body
    },
  });
  // The server must not wait for a response that cannot end.
  finished(response, () => body.destroy(new Error(`${fault}: the response was corrupted`)));
  return body.on('error', () => {});
}

const SLOW_BODY_PIECES = 16;
const SLOW_BODY_DELAY_MS = 5;

async function writeSlowly(bytes: Buffer, out: Writable): Promise<void> {
  const size = Math.max(1, Math.ceil(bytes.length / SLOW_BODY_PIECES));
  for (let offset = 0; offset < bytes.length && !out.destroyed; offset += size) {
    out.write(bytes.subarray(offset, offset + size));
    await delay(SLOW_BODY_DELAY_MS);
  }
}
