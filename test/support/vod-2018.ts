import { request } from 'node:http';
import COS from 'cos-nodejs-sdk-v5';
import { vod } from 'tencentcloud-sdk-nodejs-vod';
import * as v from 'valibot';
import { expect } from 'vitest';
import { signTc3 } from '../../local/vod/v2018/signature.ts';
import { newFolder } from './temp-folder.ts';
import { SECRETS } from './vod-client.ts';

/** The vendor's client of API 2018-07-17. */
export const createApiClient = (endpoint: string, keys = SECRETS) =>
  new vod.v20180717.Client({
    credential: keys,
    region: '',
    profile: { httpProfile: { protocol: 'http://', endpoint: new URL(endpoint).host } },
  });

const Applied = v.object({
  StorageBucket: v.string(),
  StorageRegion: v.string(),
  VodSessionKey: v.string(),
  MediaStoragePath: v.string(),
  CoverStoragePath: v.nullable(v.string()),
  TempCertificate: v.nullable(
    v.object({ SecretId: v.string(), SecretKey: v.string(), Token: v.string(), ExpiredTime: v.number() }),
  ),
});
/** The response to ApplyUpload. */
export type Applied = v.InferOutput<typeof Applied>;

type CosTarget = { Bucket: string; Region: string; Key: string };

/** The bucket, region, and key of a session's object. */
export const targetOf = ({ StorageBucket, StorageRegion, MediaStoragePath }: Applied): CosTarget => ({
  Bucket: StorageBucket,
  Region: StorageRegion,
  Key: MediaStoragePath.slice(1),
});

/** The vendor's client of COS, with the temporary keys of a session or `keys`. */
export async function createCosClient(
  cosEndpoint: string,
  { TempCertificate }: Pick<Applied, 'TempCertificate'>,
  options: COS.COSOptions = {},
): Promise<COS> {
  return new COS({
    ...(TempCertificate && {
      SecretId: TempCertificate.SecretId,
      SecretKey: TempCertificate.SecretKey,
      SecurityToken: TempCertificate.Token,
    }),
    Domain: new URL(cosEndpoint).host,
    Protocol: 'http:',
    AutoSwitchHost: false,
    ConfCwd: await newFolder(),
    ...options,
  });
}

/** Returns the status and code of the error of a call to COS, or `succeeded`. */
export async function cosFailureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'succeeded',
    ({ statusCode, code }) => `${statusCode} ${code}`,
  );
}

type RawCall = Readonly<{
  headers?: Record<string, string | undefined>;
  body?: string | Buffer;
  key?: Partial<typeof SECRETS>;
  time?: number;
  /** Names of the signed headers. */
  names?: readonly string[];
  service?: string;
}>;

const ApiResponse = v.object({
  Response: v.looseObject({
    RequestId: v.pipe(v.string(), v.nonEmpty()),
    Error: v.optional(v.object({ Code: v.string(), Message: v.string() })),
  }),
});

/** Sends any call of API 2018-07-17, including invalid ones. Returns the content of `Response`. */
export async function callApi(endpoint: string, action: string, params: unknown, options: RawCall = {}) {
  const { key, time = Date.now(), names = ['content-type', 'host'], service = 'vod' } = options;
  const timestamp = Math.floor(time / 1000);
  const body = Buffer.from(options.body ?? JSON.stringify(params));
  const { host } = new URL(endpoint);
  const all = {
    host,
    'content-type': 'application/json; charset=utf-8',
    'x-tc-action': action,
    'x-tc-version': '2018-07-17',
    'x-tc-timestamp': String(timestamp),
    ...options.headers,
  };
  const headers = Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  const { secretId, secretKey } = { ...SECRETS, ...key };
  const signature = signTc3(secretKey, { headers, body, names, timestamp, service, host });
  const date = new Date(timestamp * 1000).toISOString().slice(0, 10);
  const authorization = `TC3-HMAC-SHA256 Credential=${secretId}/${date}/${service}/tc3_request, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  const text = await post(
    endpoint,
    { authorization, 'content-length': String(body.length), ...headers },
    body,
  );
  return v.parse(ApiResponse, JSON.parse(text)).Response;
}

const post = (endpoint: string, headers: Record<string, string>, body: Buffer): Promise<string> =>
  new Promise((resolve, reject) => {
    request(endpoint, { method: 'POST', headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        expect(response.statusCode).toBe(200);
        resolve(Buffer.concat(chunks).toString());
      });
      response.on('error', reject);
    })
      .on('error', reject)
      .end(body);
  });

/** Opens an upload. */
export const apply = async (endpoint: string, params: object = {}, options: RawCall = {}): Promise<Applied> =>
  v.parse(Applied, await callApi(endpoint, 'ApplyUpload', { MediaType: 'mp4', ...params }, options));

/** The code of the error of a call, or an empty string. */
export const apiErrorOf = async (...call: Parameters<typeof callApi>): Promise<string> =>
  (await callApi(...call)).Error?.Code ?? '';

/** Uploads bytes in one request and commits them. Returns the FileId. */
export async function uploadFile(
  service: Readonly<{ endpoint: string; cosEndpoint: string }>,
  bytes: Buffer,
  params: object = {},
): Promise<string> {
  const applied = await apply(service.endpoint, params);
  const cos = await createCosClient(service.cosEndpoint, applied);
  await cos.putObject({ ...targetOf(applied), Body: bytes });
  const committed = await callApi(service.endpoint, 'CommitUpload', { VodSessionKey: applied.VodSessionKey });
  return v.parse(v.object({ FileId: v.string() }), committed).FileId;
}
