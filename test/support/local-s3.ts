import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll } from 'vitest';
import type { ListeningServer } from '../../local/http-server.ts';
import { type S3Notification, type S3Options, startS3 } from '../../local/s3/server.ts';
import { CREDENTIALS } from './credentials.ts';
import { useFolder } from './temp-folder.ts';

export { CREDENTIALS };
export const BUCKET = 'plain-bucket';
export const VERSIONED = 'versioned-bucket';

/** A server on a folder of its own for the tests of a file, with one bucket of each kind. */
export function useS3(options: Partial<S3Options> = {}) {
  const events: S3Notification[] = [];
  const folder = useFolder();
  const dataDir = () => join(folder.path, 'data');
  let listening: ListeningServer | undefined;
  let client: S3Client | undefined;

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
    await s3.client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    await s3.client.send(new CreateBucketCommand({ Bucket: VERSIONED }));
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await s3.client.send(new PutBucketVersioningCommand({ Bucket: VERSIONED, VersioningConfiguration }));
  });
  afterAll(stop);

  const s3 = {
    events,
    get dir() {
      return dataDir();
    },
    get port(): number {
      if (!listening) throw new Error('not started');
      return listening.port;
    },
    get endpoint(): string {
      if (!listening) throw new Error('not started');
      return listening.endpoint;
    },
    get client(): S3Client {
      if (!client) throw new Error('not started');
      return client;
    },
    restart: async (): Promise<void> => {
      await stop();
      await start();
    },
    /** How many files hold bytes of objects, parts, and uploads under way. */
    countBlobs: async (): Promise<number> => (await readdir(join(dataDir(), 'blobs'))).length,
  };
  return s3;
}

export const connect = (endpoint: string, credentials = CREDENTIALS): S3Client =>
  new S3Client({ endpoint, region: 'eu-central-1', forcePathStyle: true, credentials, maxAttempts: 1 });

/** The error that a call fails with, by S3's code and status; HEAD has no body, so a status only. */
export async function failure(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const metadata = '$metadata' in error ? error.$metadata : undefined;
    const status =
      metadata && typeof metadata === 'object' && 'httpStatusCode' in metadata
        ? metadata.httpStatusCode
        : 'no answer';
    return `${String(status)} ${error.name}`;
  }
  return 'succeeded';
}

export async function textOf(output: {
  Body?: { transformToString: () => Promise<string> } | undefined;
}): Promise<string> {
  return (await output.Body?.transformToString()) ?? '';
}
