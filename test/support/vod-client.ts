import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import * as v from 'valibot';
import { signedQuery } from '../../lib/vod/v2/signature.ts';
import { createBytes, HALF_MIB, hash } from './values.ts';

export const SECRETS = { secretId: 'id-of-the-tests', secretKey: 'key-of-the-tests' };
export const HOST = 'vod2.qcloud.com';

/** Every response has this shape, including errors. */
const VodResponse = v.strictObject({
  code: v.pipe(v.number(), v.integer()),
  message: v.string(),
  codeDesc: v.string(),
  canRetry: v.picklist([0, 1]),
  listParts: v.optional(
    v.array(v.strictObject({ offset: v.number(), dataSize: v.number(), dataMd5: v.string() })),
  ),
  dataSize: v.optional(v.number()),
  fileId: v.optional(v.string()),
  url: v.optional(v.string()),
});
export type VodResponse = v.InferOutput<typeof VodResponse>;

export type HttpResponse = { status: number; headers: IncomingHttpHeaders; bytes: Buffer };
type CallResponse = VodResponse & { status: number; headers: IncomingHttpHeaders };

/** `undefined` omits a default parameter. */
export type Changes = Readonly<Record<string, string | number | undefined>>;

export type CallOptions = {
  method?: string;
  path?: string;
  /** Values to sign that differ from the sent ones. */
  signed?: { method?: string; host?: string; path?: string; key?: string };
  headers?: Record<string, string>;
  body?: Buffer;
  /** Changes the query string after signing. */
  query?: (query: string) => string;
};

export type Video = { bytes: Buffer; sha1: string; partSize: number; parts: Buffer[] };

export function video(size: number, partSize = HALF_MIB): Video {
  const bytes = createBytes(size);
  const parts = [];
  for (let at = 0; at < size; at += partSize) parts.push(bytes.subarray(at, at + partSize));
  return { bytes, sha1: hash('sha1', bytes), partSize, parts };
}

/** The parts as InitUpload lists them. */
export const describeParts = ({ parts, partSize }: Video, indexes: Iterable<number>) =>
  [...new Set(indexes)]
    .sort((a, b) => a - b)
    .map((index) => {
      const bytes = parts[index] ?? Buffer.alloc(0);
      return { offset: index * partSize, dataSize: bytes.length, dataMd5: hash('md5', bytes) };
    });

let nonce = 1;

/** A client that sends any request, including invalid ones. */
export class Client {
  readonly endpoint: string;
  readonly #now: () => number;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(endpoint: string, now: () => number = Date.now) {
    this.endpoint = endpoint;
    this.#now = now;
  }

  close(): void {
    this.#agent.destroy();
  }

  http(
    method: string,
    target: string,
    options: Pick<CallOptions, 'headers' | 'body'> = {},
  ): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const { port } = new URL(this.endpoint);
      const length = { 'Content-Length': String(options.body?.length ?? 0) };
      const isChunked = options.headers?.['Transfer-Encoding'] !== undefined;
      const headers = { ...(!isChunked && length), ...options.headers };
      request(
        { host: '127.0.0.1', port, method, path: target, headers, agent: this.#agent },
        async (response) => {
          const { statusCode: status = 0, headers } = response;
          const chunks: Buffer[] = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('end', () => resolve({ status, headers, bytes: Buffer.concat(chunks) }));
          response.on('error', reject);
        },
      )
        .on('error', reject)
        .end(options.body);
    });
  }

  /** Returns the path and signed query string of a call. */
  target(changes: Changes, options: CallOptions = {}): string {
    const { method = 'GET', path = '/v2/index.php', signed = {}, query = (query) => query } = options;
    nonce += 1;
    const all = {
      Region: 'gz',
      Timestamp: Math.floor(this.#now() / 1000),
      Nonce: nonce,
      SecretId: SECRETS.secretId,
      ...changes,
    };
    const params = Object.fromEntries(
      Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    );
    const text = signedQuery(
      signed.key ?? SECRETS.secretKey,
      signed.method ?? method,
      signed.host ?? HOST,
      signed.path ?? path,
      params,
    );
    return `${path}?${query(text)}`;
  }

  async call(changes: Changes, options: CallOptions = {}): Promise<CallResponse> {
    const response = await this.http(options.method ?? 'GET', this.target(changes, options), options);
    return { ...readResponse(response), status: response.status, headers: response.headers };
  }

  init(video: Video, changes: Changes = {}, options: CallOptions = {}): Promise<CallResponse> {
    const { sha1: fileSha, bytes, partSize: dataSize } = video;
    const call = { fileName: 'name', fileSha, fileSize: bytes.length, dataSize, fileType: 'mp4' };
    return this.call({ Action: 'InitUpload', ...call, ...changes }, options);
  }

  part(video: Video, index: number, changes: Changes = {}, options: CallOptions = {}): Promise<CallResponse> {
    const bytes = video.parts[index] ?? Buffer.alloc(0);
    const call = {
      fileSha: video.sha1,
      offset: index * video.partSize,
      dataSize: bytes.length,
      dataMd5: hash('md5', bytes),
    };
    return this.call(
      { Action: 'UploadPart', ...call, ...changes },
      { method: 'POST', body: bytes, ...options },
    );
  }

  finish(video: Video, changes: Changes = {}, options: CallOptions = {}): Promise<CallResponse> {
    return this.call({ Action: 'FinishUpload', fileSha: video.sha1, ...changes }, options);
  }

  /** Uploads the whole video and returns the fileId. */
  async upload(video: Video, changes: Changes = {}): Promise<string> {
    await this.init(video, changes);
    for (const index of video.parts.keys()) await this.part(video, index);
    const { code, message, fileId } = await this.finish(video);
    if (code !== 0 || fileId === undefined) throw new Error(`FinishUpload: ${code} ${message}`);
    return fileId;
  }

  cover(
    image: Buffer,
    fileId: string,
    changes: Changes = {},
    options: CallOptions = {},
  ): Promise<CallResponse> {
    const call = {
      fileName: 'cover',
      fileSha: hash('sha1', image),
      fileSize: image.length,
      dataSize: image.length,
      fileType: 'jpg',
      'extra.usage': 1,
      'extra.fileId': fileId,
    };
    return this.call(
      { Action: 'SmallFileUpload', ...call, ...changes },
      { method: 'POST', body: image, ...options },
    );
  }
}

export const readResponse = ({ bytes }: HttpResponse): VodResponse =>
  v.parse(VodResponse, JSON.parse(bytes.toString()));
