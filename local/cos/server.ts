import { randomBytes } from 'node:crypto';
import { type Fault, type FaultSelector, injectFault, selectFault } from '../fault-injection.ts';
import { type ListeningServer, listen } from '../http-server.ts';
import { createNetworkSimulator, type NetworkLimits } from '../network-simulator.ts';
import { createStoreServer, type Exchange, openSource, readHeaders, sendResponse } from '../s3/exchange.ts';
import type { S3Response } from '../s3/operation.ts';
import { Store } from '../s3/store/store.ts';
import { S3Error, type S3ErrorCode } from '../s3/wire/errors.ts';
import { queryValue } from '../s3/wire/target.ts';
import { NAMESPACE, writeXml } from '../s3/wire/xml.ts';
import { SlidingWindow } from '../sliding-window.ts';
import type { CosAccount } from './account.ts';
import { CRC64 } from './operations.ts';
import { findCosOperation, findRoute } from './route.ts';
import { authenticate } from './signature.ts';
import { readCosTarget } from './target.ts';

export type CosOptions = Readonly<{
  store: Store;
  account: CosAccount;
  /** 0: any free port. */
  port: number;
  now: () => number;
  network?: NetworkLimits | undefined;
  faults?: FaultSelector | undefined;
  /** Uploads to a single object: at most `limit` in any `windowMs`. */
  objectRate: Readonly<{ limit: number; windowMs: number }> | false;
}>;

type CosExchange = Exchange &
  Readonly<{ id: string; options: CosOptions; countUpload: (key: string) => void }>;

/** Opens the store of the local COS, which has one bucket. */
export function openCosStore(
  dir: string,
  bucket: string,
  options: { now: () => number; discard: boolean },
): Store {
  const store = new Store(dir, () => new Date(options.now()), options);
  store.createBucket(bucket, '', undefined, 0);
  return store;
}

/** Starts a small, strict COS server on loopback. It rejects unsupported requests with 501. */
export async function startCos(options: CosOptions): Promise<ListeningServer> {
  const network = createNetworkSimulator(options.network);
  const countUpload = createUploadCounter(options);
  return listen(createStoreServer(), options.port, (request, response) => {
    const id = randomBytes(12).toString('base64url');
    return serve({ id, request, response, network, options, countUpload });
  });
}

async function serve(exchange: CosExchange): Promise<void> {
  const { id, request, response, network, options } = exchange;
  const fault = await selectFault(options.faults, request, () => ({
    service: 'cos',
    call: findCosOperation(request),
  }));
  if (fault && (await injectFault(fault, request))) return;
  const result = await runOperation(exchange, fault);
  try {
    await network.latency();
    response.setHeader('x-cos-request-id', id);
    response.setHeader('server', 'tencent-cos');
    response.setHeader('date', new Date(options.now()).toUTCString());
    await sendResponse(exchange, result, fault);
  } catch {
    // The client disconnected, or a blob is unreadable. The client notices a body that is shorter than announced.
    response.destroy();
  }
}

const INJECTED_ERRORS: Partial<Record<Fault, S3ErrorCode>> = {
  '500': 'InternalError',
  '503': 'SlowDown',
  '429': 'TooManyRequests',
};

/** Never throws: an error becomes an error response. */
async function runOperation(exchange: CosExchange, fault: Fault | undefined): Promise<S3Response> {
  const { request: http, options, countUpload } = exchange;
  const { store, account, now } = options;
  try {
    const injected = fault && INJECTED_ERRORS[fault];
    if (injected) throw new S3Error(injected);
    const headers = readHeaders(http);
    const target = readCosTarget(http.url ?? '', headers.host ?? '', account);
    const signed = { method: http.method ?? '', target, headers };
    const { secretId, keys } = authenticate(signed, account, now());
    if (fault === 'keys-expired' && keys.expiresAt !== undefined) {
      account.expireKeys(secretId);
      throw new S3Error('ExpiredToken');
    }
    const route = findRoute(signed.method, target.key, target.query, headers);
    const prefix = queryValue(target.query, 'prefix') ?? '';
    if (!keys.allows({ ...target, method: signed.method, prefix })) throw new S3Error('AccessDenied');
    if (route.name === 'PutObject' || route.name === 'UploadPart') countUpload(target.key);
    if (fault === 'upload-lost') store.uploads.remove(queryValue(target.query, 'uploadId') ?? '');
    if (fault === 'error-in-200')
      return { ...describeError(new S3Error('InternalError'), exchange), status: 200 };
    const result = await route.run({
      ...signed,
      headers: withoutS3(headers),
      payload: 'UNSIGNED-PAYLOAD',
      openSource: () => openSource(exchange),
      store,
      now: () => new Date(now()),
      isPartLost: fault === 'part-lost',
    });
    return falsifyChecksums(withoutNamespace(result), fault);
  } catch (error) {
    return describeError(error, exchange);
  }
}

/** Checksums of S3, which COS ignores. */
const withoutS3 = (headers: ReturnType<typeof readHeaders>): ReturnType<typeof readHeaders> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('x-amz-')));

const withoutNamespace = ({ xml, ...response }: S3Response): S3Response => ({
  ...response,
  ...(xml !== undefined && { xml: xml.replace(` xmlns="${NAMESPACE}"`, '') }),
});

function falsifyChecksums(response: S3Response, fault: Fault | undefined): S3Response {
  if (fault !== 'wrong-crc' && fault !== 'wrong-md5') return response;
  const wrong = fault === 'wrong-crc' ? { [CRC64]: '1' } : { etag: `"${'0'.repeat(32)}"` };
  return { ...response, headers: { ...response.headers, ...wrong } };
}

/** Counts the uploads to each object. The counter throws `SlowDown` when there are too many. */
function createUploadCounter({ objectRate, now }: CosOptions): (key: string) => void {
  if (!objectRate) return () => {};
  const { limit, windowMs } = objectRate;
  const windows = new Map<string, SlidingWindow>();
  return (key) => {
    const window = windows.get(key) ?? new SlidingWindow(limit, windowMs);
    // The newest objects come last. Enough objects stay for any number of concurrent uploads.
    windows.delete(key);
    windows.set(key, window);
    const [oldest] = windows.keys();
    if (windows.size > 10_000 && oldest !== undefined) windows.delete(oldest);
    if (window.take(now()) > 0) throw new S3Error('SlowDown');
  };
}

function describeError(error: unknown, { id, request }: CosExchange): S3Response {
  // Any other error is a bug of this server or a failure of the disk. Its message helps to find it.
  const Cause = error instanceof Error ? error.message : String(error);
  const { code, status, message, details, headers } =
    error instanceof S3Error ? error : new S3Error('InternalError', { details: { Cause } });
  const Resource = `${request.headers.host ?? ''}${request.url?.split('?', 1)[0] ?? ''}`;
  const content = { Code: code, Message: message, ...details, Resource, RequestId: id, TraceId: id };
  return { status, headers, xml: writeXml('Error', content) };
}
