import type {
  CopyObjectCommandInput,
  CreateMultipartUploadCommandInput,
  PutObjectCommandInput,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, vi } from 'vitest';
import { createS3Client } from '../../lib/s3/client.ts';
import { headObject } from '../../lib/s3/head-object.ts';
import { CREDENTIALS, useS3 } from './local-s3.ts';
import { newS3Client } from './s3-client.ts';
import { never } from './values.ts';

export { BUCKET, VERSIONED } from './local-s3.ts';

/** Properties that a copy keeps. */
export const RICH = {
  ContentType: 'video/mp4',
  CacheControl: 'no-store, max-age=0',
  ContentDisposition: 'attachment; filename="a b.mp4"',
  ContentEncoding: 'gzip',
  ContentLanguage: 'de',
  Expires: new Date('2030-01-02T03:04:05Z'),
  Metadata: { author: 'me' },
  Tagging: 'a=1&b=2%203',
  StorageClass: 'STANDARD_IA',
  WebsiteRedirectLocation: '/there',
} as const satisfies Partial<PutObjectCommandInput>;

/** Sets the environment variables from which the pipeline's S3 client takes its credentials. */
export function useCredentials(): void {
  beforeAll(() => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
    vi.stubEnv('AWS_REGION', 'eu-central-1');
  });
  afterAll(() => void vi.unstubAllEnvs());
}

/** Starts the local S3 for the tests of a file, with the pipeline's client and shortcuts for objects. */
export function useStore(options: Parameters<typeof useS3>[0] = {}) {
  useCredentials();
  const s3 = useS3(options);
  let client: S3Client | undefined;
  beforeAll(() => {
    client = createS3Client({ endpoint: s3.server.endpoint });
  });
  afterAll(() => client?.destroy());

  const store = {
    get client(): S3Client {
      if (!client) throw new Error('not started');
      return client;
    },
    events: s3.events,
    endpoint: () => s3.server.endpoint,
    put: (Bucket: string, Key: string, Body: Buffer | string, more: Partial<PutObjectCommandInput> = {}) =>
      s3.client.putObject({ Bucket, Key, Body, ...more }),
    remove: (Bucket: string, Key: string) => s3.client.deleteObject({ Bucket, Key }),
    /** Copies an object within a bucket. */
    copy: (Bucket: string, from: string, Key: string, more: Partial<CopyObjectCommandInput> = {}) =>
      s3.client.copyObject({ Bucket, Key, CopySource: encodeURI(`${Bucket}/${from}`), ...more }),
    /** Puts a multipart object, whose ETag is no MD5. */
    putInParts: async (
      Bucket: string,
      Key: string,
      Body: Buffer | string,
      more: Partial<CreateMultipartUploadCommandInput> = {},
    ) => {
      const { UploadId } = await s3.client.createMultipartUpload({ Bucket, Key, ...more });
      const { ETag } = await s3.client.uploadPart({ Bucket, Key, UploadId, PartNumber: 1, Body });
      const MultipartUpload = { Parts: [{ ETag, PartNumber: 1 }] };
      return s3.client.completeMultipartUpload({ Bucket, Key, UploadId, MultipartUpload });
    },
    head: (Bucket: string, Key: string) => s3.client.headObject({ Bucket, Key, ChecksumMode: 'ENABLED' }),
    /** Everything that S3 returns about an object, except what every write changes. */
    all: async (Bucket: string, Key: string) => {
      const of = { Bucket, Key };
      const { $metadata: _, LastModified: _at, VersionId: _id, ...head } = await s3.client.headObject(of);
      const { TagSet } = await s3.client.getObjectTagging(of);
      const { Grants } = await s3.client.getObjectAcl(of);
      return { ...head, tags: TagSet, grants: Grants?.map((grant) => JSON.stringify(grant)).sort() };
    },
    find: (bucket: string, key: string) => headObject(store.client, { bucket, key }, never),
    /** Creates a client that runs `interfere` after its first successful `command`, with the output of the command. */
    interferingClient: (command: string, interfere: (output: object) => Promise<void>): S3Client => {
      const client = newS3Client(s3.server.endpoint);
      let isFirst = true;
      client.middlewareStack.add((next, { commandName }) => async (args) => {
        const result = await next(args);
        if (commandName === command && isFirst) {
          isFirst = false;
          await interfere(result.output);
        }
        return result;
      });
      return client;
    },
  };
  return store;
}
