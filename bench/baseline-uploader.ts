import { createHash } from 'node:crypto';
import { describeError } from '../lib/vod/v2/responses.ts';
import { createTransport, type VodCall } from '../lib/vod/v2/transport.ts';
import { VOD_HOST, VOD_SECRETS } from './messages.ts';

const PART_BYTES = 512 * 1024;
const CONNECTIONS = 6;

/** Uploads as the service's own SDKs do: parts of 512 KiB in groups of six, one group after the other. */
export async function uploadBaseline(endpoint: URL, bytes: Buffer): Promise<void> {
  const transport = createTransport({ endpoint, host: VOD_HOST, region: 'gz', secrets: VOD_SECRETS });
  const { signal } = new AbortController();
  const fileSha = createHash('sha1').update(bytes).digest('hex');
  const send = async ({ params, ...call }: Omit<VodCall, 'target'>): Promise<void> => {
    const { response } = await transport.send(
      { ...call, target: 'baseline', params: { fileSha, ...params } },
      signal,
    );
    if (response.code !== 0) throw new Error(`${call.action}: ${describeError(response)}`);
  };
  const sendPart = (offset: number): Promise<void> => {
    const body = bytes.subarray(offset, offset + PART_BYTES);
    const dataMd5 = createHash('md5').update(body).digest('hex');
    const params = { offset: String(offset), dataSize: String(body.length), dataMd5 };
    return send({ action: 'UploadPart', params, body });
  };
  const sizes = { fileSize: String(bytes.length), dataSize: String(PART_BYTES) };
  await send({ action: 'InitUpload', params: { fileName: 'clip', fileType: 'mp4', ...sizes } });
  for (let start = 0; start < bytes.length; start += PART_BYTES * CONNECTIONS) {
    const offsets = Array.from({ length: CONNECTIONS }, (_, n) => start + n * PART_BYTES);
    await Promise.all(offsets.filter((offset) => offset < bytes.length).map(sendPart));
  }
  transport.close();
}
