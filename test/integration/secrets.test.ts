import { createHmac } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { startS3 } from '../../local/s3/server.ts';
import { startVod } from '../../local/vod/server.ts';
import { startCommand } from '../support/command.ts';
import { collectResult } from '../support/node-process.ts';
import { type Responder, startScriptedServer } from '../support/scripted-server.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes } from '../support/values.ts';

const REGION = 'eu-central-1';
const AWS = { accessKeyId: 'AKIDOFSTHREE', secretAccessKey: 'aws/s3cret+4711' };
const VOD = { secretId: 'AKIDOFVOD', secretKey: 'vod/s3cret+4712' };
const TOKENS = { AWS_SESSION_TOKEN: 'aws/t0ken+4713', VOD_TOKEN: 'vod/t0ken+4714' };

const ENV = {
  AWS_ACCESS_KEY_ID: AWS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: AWS.secretAccessKey,
  AWS_REGION: REGION,
  VOD_SECRET_ID: VOD.secretId,
  VOD_SECRET_KEY: VOD.secretKey,
  ...TOKENS,
};

/** Lists what must not be found: the secrets in all encodings, the keys derived from them, and signatures. */
function listTraces(env: Record<string, string>): string[] {
  const keys = [env.AWS_SECRET_ACCESS_KEY, env.VOD_SECRET_KEY, env.AWS_SESSION_TOKEN, env.VOD_TOKEN];
  const secrets = keys.flatMap((key) => (key ? [key] : []));
  const derived = [new Date(), new Date(Date.now() - 60_000)].flatMap((now) => deriveSigningKeys(now, env));
  const forms = secrets.flatMap((secret) => [
    ...[secret, encodeURIComponent(secret)],
    ...[Buffer.from(secret).toString('base64').slice(0, 16), Buffer.from(secret).toString('hex')],
  ]);
  return [...forms, ...derived, 'AWS4-HMAC-SHA256', 'AWS4aws', 'aws4_request'];
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, "Derive a signing key". */
function deriveSigningKeys(now: Date, env: Record<string, string>): string[] {
  const day = now.toISOString().slice(0, 10).replaceAll('-', '');
  const keys: Buffer[] = [];
  let key: string | Buffer = `AWS4${env.AWS_SECRET_ACCESS_KEY}`;
  for (const word of [day, REGION, 's3', 'aws4_request']) {
    key = createHmac('sha256', key).update(word).digest();
    keys.push(key);
  }
  return keys.flatMap((bytes) => [bytes.toString('hex'), bytes.toString('base64')]);
}

/** Starts S3 and VOD with recognizable secrets and puts a video. `data` contains everything that is written. */
async function startServices() {
  const data = await newFolder();
  const s3 = await startS3({ dir: join(data, 'remote-s3'), port: 0, credentials: AWS });
  const signedHost = 'vod2.qcloud.com';
  const vod = await startVod({ dir: join(data, 'remote-vod'), port: 0, secrets: VOD, signedHost });
  onTestFinished(async () => {
    await s3.close();
    await vod.close();
  });
  const client = new S3Client({
    ...{ endpoint: s3.endpoint, credentials: AWS },
    ...{ region: REGION, forcePathStyle: true },
  });
  await client.send(new CreateBucketCommand({ Bucket: 'videos' }));
  await client.send(
    new PutObjectCommand({ Bucket: 'videos', Key: 'video.mp4', Body: createBytes(2_000_000) }),
  );
  client.destroy();
  const env = { ...ENV, S3_ENDPOINT: s3.endpoint, VOD_ENDPOINT: vod.endpoint };
  return { data, env: { ...env, VOD_COS_ENDPOINT: vod.cosEndpoint } };
}

function runUpload(data: string, env: Record<string, string>) {
  const args = ['--json', '--verbose', '--data', join(data, 'local'), 's3://videos/video.mp4'];
  return collectResult(startCommand(args, { env }));
}

/** Finds the files in a folder whose name or content contains one of `words`. */
async function findFiles(dir: string, words: string[]): Promise<string[]> {
  const files = await readdir(dir, { recursive: true, withFileTypes: true });
  const found = await Promise.all(
    files.map(async (file) => {
      const path = join(file.parentPath, file.name);
      const content = file.isFile() ? await readFile(path, 'latin1') : '';
      return words.some((word) => path.includes(word) || content.includes(word)) ? [path] : [];
    }),
  );
  return found.flat();
}

/** A VOD that rejects each call and repeats its parameters. */
const echoParameters: Responder = (response, { query }) => {
  const message = [query.get('Signature'), query.get('Token'), `${query}`].join(' ');
  response.end(JSON.stringify({ code: -10001, message, codeDesc: '', canRetry: 0 }));
};

/** An S3 that rejects reads because the session token expired, and repeats the token. */
const rejectToken: Responder = (response, { method, headers }) => {
  if (method === 'HEAD') response.writeHead(200, { 'content-length': '10', etag: '"e"' }).end();
  else {
    const asked = `<Token-0>${headers['x-amz-security-token']}</Token-0><StringToSign>${headers.authorization}</StringToSign>`;
    response
      .writeHead(400)
      .end(
        `<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message>${asked}</Error>`,
      );
  }
};

test.each<[string, number, RegExp, (env: Record<string, string>) => Promise<Record<string, string>>]>([
  ['a successful upload', 0, /"outcome":"uploaded"/, async () => ({})],
  [
    'a successful upload with API 2018-07-17',
    0,
    /"outcome":"uploaded"/,
    async () => ({ VOD_API: '2018-07-17', VOD_TOKEN: '' }),
  ],
  ['a wrong VOD secret', 1, /VodRejected/, async () => ({ VOD_SECRET_KEY: 'vod/wr0ng+4715' })],
  ['a wrong S3 secret', 1, /StorageRejected/, async () => ({ AWS_SECRET_ACCESS_KEY: 'aws/wr0ng+4716' })],
  [
    'a call that VOD rejects',
    1,
    /VodRejected/,
    async () => ({ VOD_ENDPOINT: (await startScriptedServer(echoParameters)).endpoint }),
  ],
  [
    'an expired S3 token',
    1,
    /StorageRejected.*ExpiredToken/,
    async () => ({ S3_ENDPOINT: (await startScriptedServer(rejectToken)).endpoint }),
  ],
  ['an unreachable S3', 1, /S3_ENDPOINT/, async () => ({ S3_ENDPOINT: 'http://127.0.0.1:1' })],
])('reveals no secret in output and files: %s', async (_, expected, message, change) => {
  const { data, env } = await startServices();
  const all = { ...env, ...(await change(env)) };
  const { code, out, err } = await runUpload(data, all);
  expect(code).toBe(expected);
  expect(out + err).toMatch(message);
  if (all.S3_ENDPOINT !== 'http://127.0.0.1:1') expect(err).toContain('init'); // the log of the handlers is included
  expect(`${out}${err}`).not.toMatch(/Signature=[^…]/);
  const words = listTraces(all);
  expect(words.filter((word) => `${out}${err}`.includes(word))).toEqual([]);
  expect(await findFiles(data, words)).toEqual([]);
});

test('the search finds a secret in a file and in its name', async () => {
  const data = await newFolder();
  await writeFile(join(data, 'log'), `a line with ${VOD.secretKey} in it`);
  await writeFile(join(data, encodeURIComponent(VOD.secretKey)), '');
  await writeFile(join(data, 'clean'), VOD.secretId);
  expect(await findFiles(data, listTraces(ENV))).toHaveLength(2);
});
