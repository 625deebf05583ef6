import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  PutObjectCommand,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { onTestFinished } from 'vitest';
import { type Result, Result as ResultSchema } from '../../lib/schemas.ts';
import type { Execution } from '../../local/aws/execution-store.ts';
import { type Stack, type StackOptions, startStack } from '../../local/stack.ts';
import { newFolder } from './temp-folder.ts';

/** The whole chain for one test: real handlers, real state machine, S3 and VOD over HTTP, in a folder that goes away. */

export const BUCKET = 'videos';

export type World = Stack & {
  data: string;
  ended: Execution[];
  put(key: string, body: Uint8Array, more?: Partial<PutObjectCommandInput>): Promise<void>;
  head(key: string): Promise<HeadObjectCommandOutput>;
  /** The ends of all executions, once nothing is left to do, in the order in which they came. */
  results(): Promise<Result[]>;
  /** What the VOD service keeps of a file. */
  stored(fileId: string | undefined, type?: string): Promise<Buffer>;
  index(): Promise<Record<string, unknown>[]>;
};

/** Closed when the test ends, if the test did not close it. */
export async function newStack({
  bucketIsThere = false,
  ...options
}: Partial<StackOptions> & { bucketIsThere?: boolean } = {}): Promise<World> {
  const data = options.data ?? (await newFolder());
  const stack = await startStack({ env: {}, ...options, data });
  onTestFinished(() => stack.close());
  const ended: Execution[] = [];
  stack.executions.on('ended', (execution) => ended.push(execution));
  if (stack.emitsEvents && !bucketIsThere) await stack.s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
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
    async results() {
      await stack.idle();
      return ended.map(({ output }) => v.parse(ResultSchema, output));
    },
    stored: (fileId, type = 'mp4') => readFile(join(data, 'vod', 'files', `${fileId}.${type}`)),
    async index() {
      const text = await readFile(join(data, 'vod', 'index.json'), 'utf8');
      return v.parse(v.array(v.record(v.string(), v.unknown())), JSON.parse(text));
    },
  };
}
