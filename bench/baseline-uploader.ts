import { createHash, randomInt } from 'node:crypto';
import { Agent, request } from 'node:http';
import { json } from 'node:stream/consumers';
import { signedQuery } from '../lib/vod/signature.ts';
import { LOCAL_VOD, VOD_HOST } from './credentials.ts';

/** An upload as the service's own SDKs make it: groups of six parts of 512 KiB, each group waited for. */

const PART = 512 * 1024;
const CONNECTIONS = 6;

export async function sendInBarriers(endpoint: URL, bytes: Buffer): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const fileSha = createHash('sha1').update(bytes).digest('hex');
  const call = (Action: string, params: Record<string, string>, body?: Buffer) =>
    send(agent, endpoint, { Action, fileSha, ...params }, body);
  try {
    await call('InitUpload', {
      fileName: 'clip',
      fileType: 'mp4',
      fileSize: String(bytes.length),
      dataSize: String(PART),
    });
    for (let at = 0; at < bytes.length; at += PART * CONNECTIONS) {
      const offsets = Array.from({ length: CONNECTIONS }, (_, n) => at + n * PART);
      await Promise.all(
        offsets
          .filter((offset) => offset < bytes.length)
          .map((offset) => {
            const body = bytes.subarray(offset, offset + PART);
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

function send(agent: Agent, endpoint: URL, params: Record<string, string>, body?: Buffer): Promise<void> {
  const method = body ? 'POST' : 'GET';
  const query = signedQuery(LOCAL_VOD.secretKey, method, VOD_HOST, endpoint.pathname, {
    ...params,
    Region: 'gz',
    SecretId: LOCAL_VOD.secretId,
    SignatureMethod: 'HmacSHA256',
    Timestamp: String(Math.floor(Date.now() / 1000)),
    Nonce: String(randomInt(1, 2 ** 47)),
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const headers = { 'content-length': body?.length ?? 0 };
  const sending = request(
    {
      agent,
      method,
      headers,
      hostname: endpoint.hostname,
      port: endpoint.port,
      path: `${endpoint.pathname}?${query}`,
    },
    (response) => {
      json(response).then((reply) => {
        if ((reply as { code: number }).code === 0) resolve();
        else reject(new Error(`${params.Action}: ${JSON.stringify(reply)}`));
      }, reject);
    },
  );
  sending.on('error', reject).end(body);
  return promise;
}
