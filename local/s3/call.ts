import type { Writable } from 'node:stream';
import type { CreatedBy } from './notification.ts';
import type { PendingBlob } from './store/blobs.ts';
import type { Bucket } from './store/bucket.ts';
import type { StoredObject } from './store/record.ts';
import type { Store } from './store/store.ts';
import type { Credentials } from './wire/auth.ts';
import { type BodyFacts, openBody } from './wire/body.ts';
import type { Algorithm } from './wire/digest.ts';
import { S3Error } from './wire/errors.ts';
import { queryValue, type Target } from './wire/target.ts';

/** One request, as an operation sees it. */
export type Call = Readonly<{
  id: string;
  method: string;
  target: Target;
  /** Names in lower case. */
  headers: Readonly<Record<string, string | undefined>>;
  /** What the signature says of the body: `x-amz-content-sha256`. */
  payload: string;
  /** The body as it comes; asking for it tells a client that waits for `100 Continue` to send it. */
  openSource: () => AsyncIterable<Buffer>;
  store: Store;
  credentials: Credentials;
  now: () => Date;
  /** Settles when the listener has taken note of the new object. */
  announce: (by: CreatedBy, bucket: Bucket, key: string, object: StoredObject) => Promise<void>;
}>;

export type Reply = Readonly<{
  status: number;
  headers?: Readonly<Record<string, string | number | undefined>>;
  xml?: string;
  /** Bytes of objects, held from the moment they were looked up until they are disposed of; `headers` name their length. */
  body?: Disposable & Readonly<{ send: (out: Writable) => Promise<void> }>;
}>;

export type Operation = (call: Call) => Reply | Promise<Reply>;

/** A header's or a query parameter's value that the operation cannot do without. */
export function required(call: Call, name: string): string {
  const value = queryValue(call.target.query, name);
  if (!value) throw new S3Error('InvalidArgument', `The parameter ${name} is missing`);
  return value;
}

export type Received = PendingBlob & BodyFacts;

/** Streams the body to disk. What is received is gone again when the caller disposes of it unpublished. */
export async function receive(call: Call, compute?: Algorithm): Promise<Received> {
  const { bytes, facts } = openBody(call.openSource(), call.headers, call.payload, { compute });
  const draft = await call.store.blobs.write(bytes);
  return { ...draft, ...facts() };
}

/** CompleteMultipartUpload with 10,000 parts and a checksum each takes about 3 MB. */
const MAX_TEXT = 8 * 1024 ** 2;

/** The body of a request that says something about an object rather than being one. */
export async function receiveText(call: Call): Promise<string> {
  if (Number(call.headers['content-length'] ?? 0) > MAX_TEXT) {
    throw new S3Error('EntityTooLarge', undefined, { details: { MaxSizeAllowed: MAX_TEXT } });
  }
  const { bytes } = openBody(call.openSource(), call.headers, call.payload);
  const chunks: Buffer[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
