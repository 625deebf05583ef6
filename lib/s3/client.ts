import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';

export function createS3Client(settings: { endpoint?: string | undefined }): S3Client {
  return new S3Client({
    // Stores other than AWS's own are addressed by path, and know checksums only where the operation requires one.
    ...(settings.endpoint !== undefined && { endpoint: settings.endpoint, forcePathStyle: true }),
    followRegionRedirects: false, // a signed request goes to the configured store and nowhere else
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 4,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 5_000,
      // A copy of 5 GB may be silent for long; ranged reads watch for stalls themselves (`readRange`).
      socketTimeout: 300_000,
      httpAgent: { keepAlive: true, maxSockets: 128 },
      httpsAgent: { keepAlive: true, maxSockets: 128 },
    }),
  });
}
