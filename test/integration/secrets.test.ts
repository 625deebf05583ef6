import { createHmac } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { startS3 } from '../../local/s3/server.ts';
import { startVod } from '../../local/vod/server.ts';
import { startCommand } from '../support/command.ts';
import { collectResult } from '../support/process-result.ts';
import { type Answer, scripted } from '../support/scripted-server.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes } from '../support/values.ts';

/** Whatever happens on a journey, no output of `npm start` and no file that it leaves behind holds a secret. */

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

/** What must not be found: the secrets, in every form that they are written in, the keys made of them, and signatures. */
function traces(env: Record<string, string>): string[] {
  const keys = [env.AWS_SECRET_ACCESS_KEY, env.VOD_SECRET_KEY, env.AWS_SESSION_TOKEN, env.VOD_TOKEN];
  const secrets = keys.filter((key) => key !== undefined);
  const derived = [new Date(), new Date(Date.now() - 60_000)].flatMap((now) => signingKeys(now, env));
  const forms = secrets.flatMap((secret) => [
    ...[secret, encodeURIComponent(secret)],
    ...[Buffer.from(secret).toString('base64').slice(0, 16), Buffer.from(secret).toString('hex')],
  ]);
  return [...forms, ...derived, 'AWS4-HMAC-SHA256', 'AWS4aws', 'aws4_request'];
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, "Derive a signing key". */
function signingKeys(now: Date, env: Record<string, string>): string[] {
  const day = now.toISOString().slice(0, 10).replaceAll('-', '');
  const keys: Buffer[] = [];
  let key: string | Buffer = `AWS4${env.AWS_SECRET_ACCESS_KEY}`;
  for (const word of [day, REGION, 's3', 'aws4_request']) {
    key = createHmac('sha256', key).update(word).digest();
    keys.push(key);
  }
  return keys.flatMap((bytes) => [bytes.toString('hex'), bytes.toString('base64')]);
}

/** S3 and VOD with recognisable secrets, and a film in the bucket; `data` is everything that anybody writes. */
async function world() {
  const data = await newFolder();
  const s3 = await startS3({ dir: join(data, 'their-s3'), port: 0, credentials: AWS });
  const signedHost = 'vod2.qcloud.com';
  const vod = await startVod({ dir: join(data, 'their-vod'), port: 0, secrets: VOD, signedHost });
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
    new PutObjectCommand({ Bucket: 'videos', Key: 'film.mp4', Body: createBytes(2_000_000) }),
  );
  client.destroy();
  return { data, env: { ...ENV, S3_ENDPOINT: s3.endpoint, VOD_ENDPOINT: vod.endpoint } };
}

function npmStart(data: string, env: Record<string, string>) {
  const args = ['--json', '--verbose', '--data', join(data, 'ours'), 's3://videos/film.mp4'];
  return collectResult(startCommand(args, { env }));
}

/** Everything in a folder that holds a trace, file names included. */
async function findIn(dir: string, words: string[]): Promise<string[]> {
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

/** A VOD that refuses each call, and tells of it all that it was asked. */
const telling: Answer = (response, { query }) => {
  const message = [query.get('Signature'), query.get('Token'), `${query}`].join(' ');
  response.end(JSON.stringify({ code: -10001, message, codeDesc: '', canRetry: 0 }));
};

/** An S3 whose reads find the session token expired; it says which. */
const expired: Answer = (response, { method, headers }) => {
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
  ['all is well', 0, /"outcome":"uploaded"/, async () => ({})],
  ['the secret key of VOD is wrong', 1, /VodRejected/, async () => ({ VOD_SECRET_KEY: 'vod/wr0ng+4715' })],
  [
    'the secret key of S3 is wrong',
    1,
    /StorageRejected/,
    async () => ({ AWS_SECRET_ACCESS_KEY: 'aws/wr0ng+4716' }),
  ],
  ['VOD refuses', 1, /VodRejected/, async () => ({ VOD_ENDPOINT: (await scripted(telling)).endpoint })],
  [
    'the token of S3 has expired',
    1,
    /StorageRejected.*ExpiredToken/,
    async () => ({ S3_ENDPOINT: (await scripted(expired)).endpoint }),
  ],
  ['S3 is down', 1, /S3_ENDPOINT/, async () => ({ S3_ENDPOINT: 'http://127.0.0.1:1' })],
])('%s', async (_, expected, said, change) => {
  const { data, env } = await world();
  const all = { ...env, ...(await change(env)) };
  const { code, out, err } = await npmStart(data, all);
  expect({ code, said: said.test(out + err) }).toEqual({ code: expected, said: true });
  if (all.S3_ENDPOINT !== 'http://127.0.0.1:1') expect(err).toContain('init'); // the handlers' own log is among it
  expect(`${out}${err}`).not.toMatch(/Signature=[^…]/);
  const words = traces(all);
  expect(words.filter((word) => `${out}${err}`.includes(word))).toEqual([]);
  expect(await findIn(data, words)).toEqual([]);
});

test('a trace would be found, in a file and in its name', async () => {
  const data = await newFolder();
  await writeFile(join(data, 'log'), `a line with ${VOD.secretKey} in it`);
  await writeFile(join(data, encodeURIComponent(VOD.secretKey)), '');
  await writeFile(join(data, 'clean'), VOD.secretId);
  expect(await findIn(data, traces(ENV))).toHaveLength(2);
});
