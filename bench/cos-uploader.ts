import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ClientRequest } from 'node:http';
import { dirname } from 'node:path';
import COS from 'cos-nodejs-sdk-v5';
import { vod } from 'tencentcloud-sdk-nodejs-vod';
import { type CosUpload, type Endpoints, VOD_SECRETS } from './messages.ts';

/**
 * Uploads a file to API 2018-07-17 with the vendor's SDKs.
 * @returns the milliseconds from the first part to the response to the last one, as the pipeline's are measured
 */
export async function uploadWithCosSdk(
  { endpoint, cosEndpoint = '' }: Endpoints,
  path: string,
  { partBytes, partsInFlight }: CosUpload,
): Promise<number> {
  const client = new vod.v20180717.Client({
    credential: VOD_SECRETS,
    region: '',
    profile: { httpProfile: { protocol: 'http://', endpoint: new URL(endpoint).host } },
  });
  const applied = await client.ApplyUpload({ MediaType: 'mp4' });
  const { StorageBucket = '', StorageRegion = '', MediaStoragePath = '', TempCertificate } = applied;
  const cos = new COS({
    ...(TempCertificate && {
      SecretId: TempCertificate.SecretId,
      SecretKey: TempCertificate.SecretKey,
      SecurityToken: TempCertificate.Token,
    }),
    Domain: new URL(cosEndpoint).host,
    Protocol: 'http:',
    AutoSwitchHost: false,
    ConfCwd: dirname(path),
  });
  const readMs = measureRequests('PUT');
  await cos.sliceUploadFile({
    ...{ Bucket: StorageBucket, Region: StorageRegion, Key: MediaStoragePath.slice(1), FilePath: path },
    ...(partBytes && { ChunkSize: partBytes }),
    ...(partsInFlight && { AsyncLimit: partsInFlight }),
  });
  return readMs();
}

/** Measures from the first request with this method to the end of the last response. */
function measureRequests(method: string): () => number {
  let [began, ended] = [0, 0];
  const isMeasured = (message: unknown): boolean =>
    (message as { request: ClientRequest }).request.method === method;
  const onStart = (message: unknown): void => {
    if (isMeasured(message)) began ||= performance.now();
  };
  const onEnd = (message: unknown): void => {
    if (isMeasured(message)) ended = performance.now();
  };
  subscribe('http.client.request.start', onStart);
  subscribe('http.client.response.finish', onEnd);
  return () => {
    unsubscribe('http.client.request.start', onStart);
    unsubscribe('http.client.response.finish', onEnd);
    return ended - began;
  };
}
