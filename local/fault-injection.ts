import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { finished, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';

/** What the local services do, when told to, instead of serving well: off unless somebody passes a `Faults`. */

/**
 * Of the wire. `refuse`: the connection is reset before the request is read. `reset`: after that, nothing done. `lost`: in place
 * of the reply, the work done. `cut`: in the middle of the reply's body. `silence`: no reply ever, nothing done. `stall`: the body
 * stops in the middle, the connection stays. `drip`: the body comes in small pieces. And three statuses, nothing done.
 */
const OF_THE_WIRE = [
  'early-reset',
  'reset',
  'lost-response',
  'truncated-body',
  'no-response',
  'stalled-body',
  'slow-body',
  '500',
  '503',
  '429',
] as const;

/** Said by VOD in place of doing it; `refused` and `passing` are codes below 0, `canRetry` 0 and 1. */
const SAID_BY_VOD = ['rejected', 'retryable', '4400', '4500', '6000', 'not-json', 'truncated-json'] as const;

/**
 * Of one call. `vanished`: the upload is forgotten before it. `forgotten`: the part is, after a reply that says it is held. `holes`:
 * every other held part is not listed. `no dataSize`: the list comes without it. `unseen`: Finish has not seen all parts yet.
 * `error in 200`: an S3 copy that fails after its status was sent.
 */
const OF_A_CALL = {
  InitUpload: ['parts-unlisted', 'no-data-size', 'upload-lost'],
  UploadPart: ['part-lost', 'upload-lost'],
  FinishUpload: ['parts-not-visible', 'upload-lost'],
  CopyObject: ['error-in-200'],
  UploadPartCopy: ['error-in-200'],
  CompleteMultipartUpload: ['error-in-200'],
} as const;

export type Fault =
  | (typeof OF_THE_WIRE)[number]
  | (typeof SAID_BY_VOD)[number]
  | (typeof OF_A_CALL)[keyof typeof OF_A_CALL][number];

/** Calls of the chain, by service. What a person's own client does besides (`PutObject`, …) meets no random faults. */
export const PIPELINE_CALLS = {
  s3: [
    'HeadObject',
    'ListObjectsV2',
    'GetObject',
    'GetObjectAcl',
    'GetObjectTagging',
    'PutObjectTagging',
    'CopyObject',
    'CreateMultipartUpload',
    'UploadPartCopy',
    'CompleteMultipartUpload',
    'AbortMultipartUpload',
  ],
  vod: ['InitUpload', 'UploadPart', 'FinishUpload', 'SmallFileUpload'],
} as const;

export type FaultyService = keyof typeof PIPELINE_CALLS;

/** A request at the door of a service. */
export type ServiceCall = Readonly<{ service: FaultyService; call: string }>;

/** Decides for each request, as it comes, what goes wrong with it. The request waits for the decision. */
export type FaultSelector = (serviceCall: ServiceCall) => Fault | undefined | Promise<Fault | undefined>;

/** What can go wrong with a call. */
export function listFaults({ service, call }: ServiceCall): readonly Fault[] {
  if (!PIPELINE_CALLS[service].some((name) => name === call)) return [];
  const special = Object.entries(OF_A_CALL).find(([name]) => name === call)?.[1] ?? [];
  return [...OF_THE_WIRE, ...(service === 'vod' ? SAID_BY_VOD : []), ...special];
}

/** Each request of the chain meets a fault with this probability; the n-th request of a call always the same one. */
export function createSeededFaults(rate: number, seed: number): FaultSelector {
  const nth = createCallCounter();
  return (serviceCall) => {
    const text = `${seed} ${serviceCall.service} ${serviceCall.call} ${nth(serviceCall)}`;
    const dice = createHash('sha256').update(text).digest();
    const kinds = listFaults(serviceCall);
    return dice.readUInt32BE(0) / 2 ** 32 < rate ? kinds[dice.readUInt32BE(4) % kinds.length] : undefined;
  };
}

/** The requests `nth` (from 0) to `nth + times - 1` of a call meet this fault. */
export type FaultRule = Readonly<{ call: string; nth: number; times?: number; fault: Fault }>;

export function createScriptedFaults(script: readonly FaultRule[]): FaultSelector {
  const nth = createCallCounter();
  return (serviceCall) => {
    const now = nth(serviceCall);
    return script.find(
      (line) => line.call === serviceCall.call && now >= line.nth && now < line.nth + (line.times ?? 1),
    )?.fault;
  };
}

/** Counts the requests of each call, from 0. */
export function createCallCounter(): (serviceCall: ServiceCall) => number {
  const counts = new Map<string, number>();
  return ({ service, call }) => {
    const name = `${service} ${call}`;
    const nth = counts.get(name) ?? 0;
    counts.set(name, nth + 1);
    return nth;
  };
}

/** In the `User-Agent` of whoever is no part of the chain. */
const OUTSIDER = 's3-vod-outsider';

/** The requests of this client meet no faults: a person drops a file, a test looks. */
export function bypassFaults(client: S3Client): S3Client {
  client.config.customUserAgent = [[OUTSIDER]];
  return client;
}

export const selectFault = async (
  faults: FaultSelector | undefined,
  request: IncomingMessage,
  serviceCall: () => ServiceCall,
): Promise<Fault | undefined> =>
  faults && !request.headers['user-agent']?.includes(OUTSIDER) ? faults(serviceCall()) : undefined;

/** Faults of the wire that come before any work. Answers whether that is the end of the request. */
export async function injectFault(fault: Fault, request: IncomingMessage): Promise<boolean> {
  switch (fault) {
    case 'early-reset':
      reset(request.socket);
      return true;
    case 'reset':
      await finishedReading(request);
      reset(request.socket);
      return true;
    case 'no-response':
      request.resume(); // it is the client that gives up
      return true;
    default:
      return false;
  }
}

/** One that is ending already Node cannot reset, and would never close. */
const reset = (socket: Socket | null): void =>
  void (socket?.writable ? socket.resetAndDestroy() : socket?.destroy());

/** Pieces of a dripping body, and milliseconds between them. */
const DRIP = { pieces: 16, ms: 5 } as const;

/** Where the body of a reply goes that meets a fault of the wire; else straight to where it was to go. */
export function corruptResponse(fault: Fault | undefined, response: ServerResponse, out: Writable): Writable {
  if (
    fault !== 'lost-response' &&
    fault !== 'truncated-body' &&
    fault !== 'stalled-body' &&
    fault !== 'slow-body'
  )
    return out;
  const spoil = new Writable({
    write(chunk: Buffer, _, done) {
      if (fault === 'slow-body') return void drip(chunk, out).then(() => done(), done);
      // The status and the headers go out with the first bytes of the body.
      const half = fault === 'lost-response' ? undefined : chunk.subarray(0, chunk.length >> 1);
      if (!half) reset(response.socket);
      else out.write(half, () => fault === 'truncated-body' && response.socket?.destroy());
    },
    final(done) {
      if (fault === 'slow-body') return void out.end(done);
      if (fault !== 'stalled-body') reset(response.socket); // there was no body to cut
    },
  });
  // Nobody waits for a reply that cannot come to its end.
  finished(response, () => spoil.destroy(new Error(`${fault}: the reply was spoiled`)));
  return spoil.on('error', () => {});
}

async function drip(bytes: Buffer, out: Writable): Promise<void> {
  const size = Math.max(1, Math.ceil(bytes.length / DRIP.pieces));
  for (let at = 0; at < bytes.length && !out.destroyed; at += size) {
    out.write(bytes.subarray(at, at + size));
    await delay(DRIP.ms);
  }
}

async function finishedReading(request: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  finished(request.resume(), () => resolve());
  await promise;
}
