import { createHash, randomInt } from 'node:crypto';
import { Agent, request } from 'node:http';
import { json } from 'node:stream/consumers';
import * as v from 'valibot';
import { signedQuery } from '../lib/vod/signature.ts';
import { VOD_HOST, VOD_SECRETS } from './messages.ts';

const PART_BYTES = 512 * 1024;
const CONNECTIONS = 6;
const Success = v.object({ code: v.literal(0) });

/** Uploads as the service's own SDKs do: parts of 512 KiB in groups of six, one group after the other. */
export async function uploadBaseline(endpoint: URL, bytes: Buffer): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const fileSha = createHash('sha1').update(bytes).digest('hex');
  const call = (Action: string, params: Record<string, string>, body?: Buffer) =>
    sendCall(agent, endpoint, { Action, fileSha, ...params }, body);
  try {
    await call('InitUpload', {
      fileName: 'clip',
      fileType: 'mp4',
      fileSize: String(bytes.length),
      dataSize: String(PART_BYTES),
    });
    for (let start = 0; start < bytes.length; start += PART_BYTES * CONNECTIONS) {
      const offsets = Array.from({ length: CONNECTIONS }, (_, n) => start + n * PART_BYTES);
      await Promise.all(
        offsets
          .filter((offset) => offset < bytes.length)
          .map((offset) => {
            const body = bytes.subarray(offset, offset + PART_BYTES);
            const dataMd5 = createHash('md5').update(body).digest('hex');
            const params = { offset: String(offset), dataSize: String(body.length), dataMd5 };
            return call('UploadPart', params, body);
          }),
      );
    }
  } finally {
    agent.destroy();
  }
}

async function sendCall(
  agent: Agent,
  { hostname, port, pathname }: URL,
  params: Record<string, string>,
  body?: Buffer,
): Promise<void> {
  const method = body ? 'POST' : 'GET';
  const query = signedQuery(VOD_SECRETS.secretKey, method, VOD_HOST, pathname, {
    ...params,
    Region: 'gz',
    SecretId: VOD_SECRETS.secretId,
    SignatureMethod: 'HmacSHA256',
    Timestamp: String(Math.floor(Date.now() / 1000)),
    Nonce: String(randomInt(1, 2 ** 47)),
  });
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const headers = { 'content-length': body?.length ?? 0 };
  request(
    { agent, method, headers, hostname, port, path: `${pathname}?${query}` },
    (response) => void json(response).then(resolve, reject),
  )
    .on('error', reject)
    .end(body);
  const response = await promise;
  if (!v.is(Success, response)) throw new Error(`${params.Action}: ${JSON.stringify(response)}`);
}
