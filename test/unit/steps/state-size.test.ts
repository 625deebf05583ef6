import { expect, onTestFinished, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import type { UploadBounds } from '../../../lib/schemas.ts';
import { runPart } from '../../../lib/steps/part.ts';
import { partCount, planBatches } from '../../../lib/upload/plan.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { scripted } from '../../support/scripted-server.ts';
import { MIB, pinOf, plenty, sha1 } from '../../support/values.ts';
import { connect } from '../../support/vod-account.ts';

useCredentials();

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html#service-limits-task-executions */
const STATE_LIMIT = 256 * 1024;

// What a run of parts says of its failure stands in the state once for each of up to 400 runs.
test.each([8, 1024])(
  'an object of 1 TB that is overwritten on the way (a key of %i bytes): what its runs say fits the state',
  async (keyBytes) => {
    const key = 'k'.repeat(keyBytes);
    const { endpoint } = await scripted((response) => response.writeHead(412).end());
    const s3 = createS3Client({ endpoint });
    onTestFinished(() => s3.destroy());
    const services = { s3, vod: connect('http://127.0.0.1:1/'), defaults: {}, writeBack: DEFAULT_WRITE_BACK };
    const bounds: UploadBounds = { sha1: sha1(''), size: 2 ** 40, partSize: MIB };
    const pin = pinOf(bounds.size, { key, versionId: 'v'.repeat(32), etag: 'e'.repeat(32) });
    const missing = Array.from({ length: partCount(bounds) }, (_, part) => part).filter(
      (part) => part % 20 === 0,
    );
    const { batches } = planBatches(missing);

    const [batch = { first: 0, count: 1 }] = batches;
    const input = { execution: 'x'.repeat(80), pin, upload: bounds, batch, sent: { parts: 0, bytes: 0 } };
    const { sent } = await runPart(input, services, plenty());
    expect(sent.restartReason).toBe('ObjectChanged');
    const request = { bucket: pin.bucket, key, etag: pin.etag, versionId: pin.versionId };
    const job = {
      request,
      pin,
      sha1: bounds.sha1,
      execution: input.execution,
      round: 0,
      upload: { ...bounds, batches },
    };
    const parts = batches.map(() => sent);
    expect(Buffer.byteLength(JSON.stringify({ ...job, parts }))).toBeLessThan(STATE_LIMIT);
  },
);
