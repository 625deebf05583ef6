import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  GetObjectAnnotationCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { onTestFinished } from 'vitest';
import { Result } from '../../lib/schemas.ts';
import type { Execution } from '../../local/aws/execution-store.ts';
import { startS3 } from '../../local/s3/server.ts';
import { type Stack, type StackOptions, startStack } from '../../local/stack.ts';
import { CREDENTIALS } from './credentials.ts';
import { newFolder } from './temp-folder.ts';

export const BUCKET = 'videos';

/** The trigger starts executions without a wait. The process counts for all tests of a file. */
const AMPLE_QUOTA = { QUOTA_CALLS_PER_MINUTE: '10000', QUOTA_PARTS_PER_MINUTE: '1000000' };

export type TestStack = Stack & {
  data: string;
  /** The executions that ended, in order. */
  ended: Execution[];
  put(key: string, body: Uint8Array, more?: Partial<PutObjectCommandInput>): Promise<void>;
  head(key: string): Promise<HeadObjectCommandOutput>;
  tagsOf(key: string): Promise<Record<string, string>>;
  /** The marker in the annotation. */
  annotationOf(key: string): Promise<unknown>;
  enableVersioning(): Promise<void>;
  /** Waits until all executions have ended. Returns their results, in order. */
  results(): Promise<Result[]>;
  readStoredFile(fileId: string | undefined, type?: string): Promise<Buffer>;
  readVodIndex(): Promise<Record<string, unknown>[]>;
};

/** Starts an S3 that emits no events. Returns the settings of a stack that uses it. */
export async function startOtherS3() {
  const s3 = await startS3({ dir: await newFolder(), port: 0, credentials: CREDENTIALS });
  onTestFinished(() => s3.close());
  return {
    S3_ENDPOINT: s3.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  };
}

/**
 * Starts the whole pipeline for one test: real handlers, the real state machine, S3 and VOD over HTTP. The end of the test
 * closes it. `hasBucket`: the bucket exists already.
 */
export async function newStack({
  hasBucket = false,
  ...options
}: Partial<StackOptions> & { hasBucket?: boolean } = {}): Promise<TestStack> {
  const data = options.data ?? (await newFolder());
  const stack = await startStack({ ...options, env: { ...AMPLE_QUOTA, ...options.env }, data });
  onTestFinished(() => stack.close());
  const ended: Execution[] = [];
  stack.executions.on('ended', (execution) => ended.push(execution));
  if (stack.emitsEvents && !hasBucket) await stack.s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  stack.start();
  return {
    ...stack,
    data,
    ended,
    async put(key, body, more = {}) {
      await stack.s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: body, ...more }));
    },
    head: (key) =>
      stack.s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: key, ChecksumMode: 'ENABLED' })),
    async tagsOf(Key) {
      const { TagSet = [] } = await stack.s3.send(new GetObjectTaggingCommand({ Bucket: BUCKET, Key }));
      return Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]));
    },
    async annotationOf(Key) {
      const request = { Bucket: BUCKET, Key, AnnotationName: 'tencent-vod' };
      const { AnnotationPayload } = await stack.s3.send(new GetObjectAnnotationCommand(request));
      return JSON.parse((await AnnotationPayload?.transformToString()) ?? '');
    },
    async enableVersioning() {
      const VersioningConfiguration = { Status: 'Enabled' } as const;
      await stack.s3.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration }));
    },
    async results() {
      await stack.idle();
      return ended.map(({ output }) => v.parse(Result, output));
    },
    readStoredFile: (fileId, type = 'mp4') => readFile(join(data, 'vod', 'files', `${fileId}.${type}`)),
    async readVodIndex() {
      const text = await readFile(join(data, 'vod', 'index.json'), 'utf8');
      return v.parse(v.array(v.record(v.string(), v.unknown())), JSON.parse(text));
    },
  };
}
