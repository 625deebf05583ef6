import type { S3Client } from '@aws-sdk/client-s3';
import { onTestFinished } from 'vitest';
import { createS3Client } from '../../lib/s3/client.ts';

/** Creates an S3 client as the steps use it. The end of the current test closes it. */
export function newS3Client(endpoint: string): S3Client {
  const s3 = createS3Client({ endpoint });
  onTestFinished(() => s3.destroy());
  return s3;
}

/** Creates an S3 client that records its commands, a read with its range: `GetObjectCommand bytes=0-99`. */
export function recordS3Commands(endpoint: string): { s3: S3Client; commands: string[] } {
  const s3 = newS3Client(endpoint);
  const commands: string[] = [];
  s3.middlewareStack.add((next, { commandName = '' }) => (args) => {
    commands.push('Range' in args.input ? `${commandName} ${args.input.Range}` : commandName);
    return next(args);
  });
  return { s3, commands };
}
