import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type DeleteObjectCommandInput,
  type GetObjectCommandInput,
  type PutObjectCommandInput,
  S3,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, vi } from 'vitest';
import type { ListeningServer } from '../../local/http-server.ts';
import { type S3Notification, type S3Options, startS3 } from '../../local/s3/server.ts';
import { CREDENTIALS } from './credentials.ts';
import { type RawRequest, send, sendSigned } from './raw-http.ts';
import { useFolder } from './temp-folder.ts';

export { CREDENTIALS };
export const BUCKET = 'plain-bucket';
export const VERSIONED = 'versioned-bucket';

/**
 * Headers as radosgw regards them: it ignores the condition on the destination of a copy, and copies no tags. A test's other
 * writers send no directive, and keep their tags.
 */
export function regardAsRadosgw(headers: Readonly<Record<string, string | undefined>>) {
  if (headers['x-amz-copy-source'] === undefined) return headers;
  const { 'if-match': _, 'x-amz-tagging-directive': directive, ...regarded } = headers;
  return { ...regarded, ...(directive !== undefined && { 'x-amz-tagging-directive': 'REPLACE' }) };
}

/** Starts a server for all tests of a file, with a plain and a versioned bucket. */
export function useS3(options: Partial<S3Options> = {}) {
  const events: S3Notification[] = [];
  const folder = useFolder();
  const dataDir = () => join(folder.path, 'data');
  let listening: ListeningServer | undefined;
  let client: S3 | undefined;

  const start = async (): Promise<void> => {
    listening = await startS3({
      dir: dataDir(),
      port: 0,
      credentials: CREDENTIALS,
      onObjectCreated: async (event) => void events.push(event),
      ...options,
    });
    client = connect(listening.endpoint);
  };
  const stop = async (): Promise<void> => {
    client?.destroy();
    await listening?.close();
  };

  beforeAll(async () => {
    await start();
    await s3.client.createBucket({ Bucket: BUCKET });
    await s3.client.createBucket({ Bucket: VERSIONED });
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await s3.client.putBucketVersioning({ Bucket: VERSIONED, VersioningConfiguration });
  });
  afterAll(stop);

  const s3 = {
    events,
    get dir() {
      return dataDir();
    },
    get server(): ListeningServer {
      if (!listening) throw new Error('not started');
      return listening;
    },
    get client(): S3 {
      if (!client) throw new Error('not started');
      return client;
    },
    // The calls below use the plain bucket unless `more` names another.
    put: (Key: string, more: Partial<PutObjectCommandInput> = {}) =>
      s3.client.putObject({ Bucket: BUCKET, Key, Body: 'x', ...more }),
    head: (Key: string, more: Partial<GetObjectCommandInput> = {}) =>
      s3.client.headObject({ Bucket: BUCKET, Key, ...more }),
    get: (Key: string, more: Partial<GetObjectCommandInput> = {}) =>
      s3.client.getObject({ Bucket: BUCKET, Key, ...more }),
    getText: async (Key: string, more: Partial<GetObjectCommandInput> = {}) =>
      readText(await s3.get(Key, more)),
    delete: (Key: string, more: Partial<DeleteObjectCommandInput> = {}) =>
      s3.client.deleteObject({ Bucket: BUCKET, Key, ...more }),
    send: (request: Omit<RawRequest, 'port'>) => send({ port: s3.server.port, ...request }),
    sendSigned: (request: Omit<Parameters<typeof sendSigned>[0], 'port'>) =>
      sendSigned({ port: s3.server.port, ...request }),
    restart: async (): Promise<void> => {
      await stop();
      await start();
    },
    /** The number of files with bytes of objects, parts, and uploads in progress. */
    countBlobs: async (): Promise<number> => (await readdir(join(dataDir(), 'blobs'))).length,
    /** Waits until the server has removed the bytes of a request whose connection broke. */
    waitForBlobs: (count: number): Promise<void> =>
      vi.waitFor(async () => expect(await s3.countBlobs()).toBe(count), { interval: 5, timeout: 30_000 }),
  };
  return s3;
}

export const connect = (endpoint: string, credentials = CREDENTIALS): S3 =>
  new S3({ endpoint, region: 'eu-central-1', forcePathStyle: true, credentials, maxAttempts: 1 });

/** Returns the status and code of the error of a call, or `succeeded`. A HEAD has no body, so its code is generic. */
export async function failureOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const metadata = '$metadata' in error ? error.$metadata : undefined;
    const status =
      metadata && typeof metadata === 'object' && 'httpStatusCode' in metadata
        ? metadata.httpStatusCode
        : 'no response';
    return `${String(status)} ${error.name}`;
  }
  return 'succeeded';
}

export async function readText(output: {
  Body?: { transformToString: () => Promise<string> } | undefined;
}): Promise<string> {
  return (await output.Body?.transformToString()) ?? '';
}
