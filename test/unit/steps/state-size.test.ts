import { expect, onTestFinished, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import type { UploadBounds } from '../../../lib/schemas.ts';
import { runPart } from '../../../lib/steps/part.ts';
import { partCount, planBatches } from '../../../lib/upload/plan.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { scripted } from '../../support/scripted-server.ts';
import { MIB, pinOf, plenty, sha1 } from '../../support/values.ts';
import { connectTo } from '../../support/vod-account.ts';

useCredentials();

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html#service-limits-task-executions */
const MAX_STATE_BYTES = 256 * 1024;

test.each([8, 1024])(
  'the state of 1 TB fits if every batch returns a restartReason (key of %i bytes)',
  async (keyBytes) => {
    const { endpoint } = await scripted((response) => response.writeHead(412).end());
    const s3 = createS3Client({ endpoint });
    onTestFinished(() => s3.destroy());
    const vod = connectTo('http://127.0.0.1:1/');
    const services = { s3, vod, defaults: {}, writeBack: DEFAULT_WRITE_BACK };
    const bounds: UploadBounds = { sha1: sha1(''), size: 2 ** 40, partSize: MIB };
    const key = 'k'.repeat(keyBytes);
    const pin = pinOf(bounds.size, { key, versionId: 'v'.repeat(32), etag: 'e'.repeat(32) });
    const missing = Array.from({ length: Math.ceil(partCount(bounds) / 20) }, (_, n) => n * 20);
    const { batches } = planBatches(missing);

    const [batch = { first: 0, count: 1 }] = batches;
    const input = { execution: 'x'.repeat(80), pin, upload: bounds, batch, sent: { parts: 0, bytes: 0 } };
    const { sent } = await runPart(input, services, plenty());
    expect(sent.restartReason).toBe('ObjectChanged');
    const { execution } = input;
    const request = { bucket: pin.bucket, key, etag: pin.etag, versionId: pin.versionId };
    const upload = { ...bounds, batches };
    const state = {
      request,
      pin,
      sha1: bounds.sha1,
      execution,
      round: 0,
      upload,
      parts: batches.map(() => sent),
    };
    expect(Buffer.byteLength(JSON.stringify(state))).toBeLessThan(MAX_STATE_BYTES);
  },
);
