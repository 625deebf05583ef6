import { S3Client } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { HeaderByteSigner } from './signer.ts';

export const createS3Client = ({ endpoint }: { endpoint?: string | undefined }): S3Client =>
  new S3Client({
    // Other S3-compatible services use path-style addresses and know checksums only where the operation requires one.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    signerConstructor: HeaderByteSigner,
    followRegionRedirects: false, // a signed request reaches only the configured endpoint
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 4,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 5_000,
      // S3 may be silent for minutes while it copies 5 GB. `readRange` detects stalled reads itself.
      socketTimeout: 300_000,
      // A copy in parts has 256 requests in flight.
      httpAgent: { keepAlive: true, maxSockets: 256 },
      httpsAgent: { keepAlive: true, maxSockets: 256 },
    }),
  });
