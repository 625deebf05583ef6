import type { Writable } from 'node:stream';
import type { CreationEventName } from './notification.ts';
import type { PendingBlob } from './store/blobs.ts';
import type { Bucket } from './store/bucket.ts';
import type { StoredObject } from './store/record.ts';
import type { Store } from './store/store.ts';
import type { Credentials, SignedRequest } from './wire/auth.ts';
import { type BodyFacts, openBody } from './wire/body.ts';
import type { Algorithm } from './wire/digest.ts';
import { S3Error } from './wire/errors.ts';
import { queryValue } from './wire/target.ts';
import { NAMESPACE, writeXml, type XmlElements } from './wire/xml.ts';

/** One request to a store of objects: to S3 or to COS. */
export type StoreRequest = SignedRequest &
  Readonly<{
    /** The signed description of the body: `x-amz-content-sha256`. */
    payload: string;
    /** Returns the raw body. Sends `100 Continue` if the client waits for it. */
    openSource: () => AsyncIterable<Buffer>;
    store: Store;
    now: () => Date;
  }>;

/** One request to S3 and everything that an operation needs to serve it. */
export type S3Request = StoreRequest &
  Readonly<{
    id: string;
    credentials: Credentials;
    /** Settles when the listener has handled the event. */
    emitCreated: (
      name: CreationEventName,
      bucket: Bucket,
      key: string,
      object: StoredObject,
    ) => Promise<void>;
  }>;

export type S3Response = Readonly<{
  status: number;
  headers?: Readonly<Record<string, string | number | undefined>>;
  xml?: string;
  /** Bytes of objects, retained from their lookup until disposal. `headers` contains their length. */
  body?: Disposable & Readonly<{ send: (out: Writable) => Promise<void> }>;
}>;

export type Operation = (request: S3Request) => S3Response | Promise<S3Response>;

/** Builds a response whose body is an XML document in the namespace of S3. */
export const xmlResponse = (
  root: string,
  content: XmlElements,
  headers: NonNullable<S3Response['headers']> = {},
): S3Response => ({ status: 200, headers, xml: writeXml(root, { '@xmlns': NAMESPACE, ...content }) });

/** Returns a query parameter that the operation requires. @throws {S3Error} `InvalidArgument` */
export function requireQuery({ target }: StoreRequest, name: string): string {
  const value = queryValue(target.query, name);
  if (!value) throw new S3Error('InvalidArgument', `The parameter ${name} is missing`);
  return value;
}

export type ReceivedBlob = PendingBlob & BodyFacts;

/** Writes the body to disk. Disposing the result deletes the bytes unless an object or part refers to them. */
export async function receiveBlob(request: StoreRequest, compute?: Algorithm): Promise<ReceivedBlob> {
  const { bytes, facts } = openBody(request.openSource(), request.headers, request.payload, { compute });
  const blob = await request.store.blobs.write(bytes);
  return { ...blob, ...facts() };
}

/** CompleteMultipartUpload with 10,000 parts and a checksum for each takes about 3 MB. */
const MAX_TEXT_BYTES = 8 * 1024 ** 2;

/** Reads the body of a request that carries XML. */
export async function receiveText({ headers, openSource, payload }: StoreRequest): Promise<string> {
  if (Number(headers['content-length'] ?? 0) > MAX_TEXT_BYTES) {
    throw new S3Error('EntityTooLarge', { details: { MaxSizeAllowed: MAX_TEXT_BYTES } });
  }
  const chunks: Buffer[] = [];
  for await (const chunk of openBody(openSource(), headers, payload).bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
