import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { S3 } from '@aws-sdk/client-s3';
import { startS3 } from '../../local/s3/server.ts';
import { CREDENTIALS } from '../support/credentials.ts';
import { createBytes, hash } from '../support/values.ts';
import { type Client, createClients, DISPOSITION, type Task } from './clients.ts';

/**
 * `npm run test:clients`: real clients put, read, copy, and delete objects in the local S3. Compares bytes and metadata.
 * A client that is not installed is a failure.
 */

const BUCKET = 'clients';
const LARGE_BYTES = 30 * 1024 ** 2 + 7;
const TIMEOUT_MS = 60_000;

type Result = Readonly<{ client: string; task: string; problem?: string }>;

const folder = await mkdtemp(join(tmpdir(), 's3-clients-'));
const [small, large, output] = ['small', 'large', 'output'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
const [smallBytes, largeBytes] = [createBytes(1000), createBytes(LARGE_BYTES)];
await Promise.all([writeFile(small, smallBytes), writeFile(large, largeBytes), mkdir(join(folder, 'home'))]);
const sha256 = hash('sha256', smallBytes, 'base64');

const server = await startS3({ dir: join(folder, 's3'), port: 0, credentials: CREDENTIALS });
const { endpoint, port } = server;
const s3 = new S3({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials: CREDENTIALS });
await s3.createBucket({ Bucket: BUCKET });

const env = {
  PATH: `/usr/bin:/bin:${process.env.PATH}`,
  HOME: join(folder, 'home'),
  LC_ALL: 'C.UTF-8',
  AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_EC2_METADATA_DISABLED: 'true',
  ENDPOINT: endpoint,
};

const run = async ([command = '', ...args]: readonly string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)(command, args, { env, timeout: TIMEOUT_MS });
  return stdout;
};

/** Header bytes are UTF-8, but the SDK reads them as Latin-1. */
const utf8 = (header: string | undefined): string => Buffer.from(header ?? '', 'latin1').toString();

function compare(what: string, actual: unknown, expected: unknown): void {
  if (actual === expected) return;
  throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

async function compareBytes(Key: string, expected: Buffer): Promise<void> {
  const { Body } = await s3.getObject({ Bucket: BUCKET, Key });
  const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
  compare(`SHA-1 of ${Key}`, hash('sha1', bytes), hash('sha1', expected));
}

/** Checks the result of each task. */
const CHECKS: Readonly<Record<Task, (client: Client) => Promise<void>>> = {
  putSmall: async ({ name, metadata, tag }) => {
    const Key = `${name}/small`;
    await compareBytes(Key, smallBytes);
    const { ContentDisposition, Metadata = {} } = await s3.headObject({ Bucket: BUCKET, Key });
    compare('Content-Disposition', utf8(ContentDisposition), DISPOSITION);
    for (const [key, value] of Object.entries(metadata))
      compare(`metadata ${key}`, utf8(Metadata[key]), value);
    const { TagSet = [] } = await s3.getObjectTagging({ Bucket: BUCKET, Key });
    compare('tag', TagSet.find(({ Key }) => Key === 'by')?.Value, tag);
  },
  putLarge: async ({ name }) => {
    const Key = `${name}/large`;
    await compareBytes(Key, largeBytes);
    const { ETag = '' } = await s3.headObject({ Bucket: BUCKET, Key });
    compare('multipart ETag', /-\d+"$/.test(ETag), true);
  },
  putWithChecksum: async ({ name }) => {
    const input = { Bucket: BUCKET, Key: `${name}/sum`, ChecksumMode: 'ENABLED' } as const;
    const { ChecksumSHA256, ChecksumType } = await s3.headObject(input);
    compare('SHA-256', ChecksumSHA256, sha256);
    compare('type of the checksum', ChecksumType, 'FULL_OBJECT');
  },
  read: async () => compare('SHA-1', hash('sha1', await readFile(output)), hash('sha1', largeBytes)),
  copy: async ({ name }) => compareBytes(`${name}/copy`, largeBytes),
  remove: async ({ name }) => {
    const { KeyCount } = await s3.listObjectsV2({ Bucket: BUCKET, Prefix: `${name}/` });
    compare('objects left', KeyCount, 0);
  },
};

async function testClient(client: Client): Promise<Result[]> {
  const version = await run(client.version).catch(() => undefined);
  if (version === undefined) {
    const problem = `not installed. Install the Debian package ${client.package}.`;
    return [{ client: client.name, task: 'version', problem }];
  }
  process.stdout.write(`${client.name}: ${version.trim().split('\n')[0]}\n`);
  const results: Result[] = [];
  for (const [task, command] of Object.entries(client.tasks) as [Task, readonly string[] | undefined][]) {
    if (!command) continue;
    const problem = await run(command)
      .then(() => CHECKS[task](client))
      .then(() => undefined, describeProblem);
    results.push({ client: client.name, task, ...(problem && { problem }) });
    process.stdout.write(`  ${problem ? 'failed' : 'passed'}  ${task}${problem ? `: ${problem}` : ''}\n`);
    await rm(output, { force: true });
  }
  return results;
}

const describeProblem = (error: unknown): string => {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
  return stderr || String(error);
};

const world = { endpoint, host: `127.0.0.1:${port}`, bucket: BUCKET, small, large, output, sha256 };
const results: Result[] = [];
for (const client of createClients(world)) results.push(...(await testClient(client)));
s3.destroy();
await server.close();
await rm(folder, { recursive: true });

const failed = results.filter(({ problem }) => problem !== undefined);
for (const { client, task, problem } of failed) process.stderr.write(`${client} ${task}: ${problem}\n`);
process.stdout.write(`${results.length - failed.length} passed, ${failed.length} failed\n`);
process.exitCode = failed.length > 0 ? 1 : 0;
