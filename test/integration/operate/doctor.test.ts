import { BucketVersioningStatus, PutBucketVersioningCommand } from '@aws-sdk/client-s3';
import { expect, onTestFinished, test, vi } from 'vitest';
import { runCommand } from '../../support/operate.ts';
import { BUCKET, newStack } from '../../support/stack.ts';
import { createBytes } from '../../support/values.ts';

test('doctor finds no problem in a local stack, and starts nothing', async () => {
  const stack = await newStack();
  await stack.put('film.mp4', createBytes(1000));
  await stack.idle();
  const before = stack.ended.length;
  const { code, out, err } = await runCommand('doctor', '--local', '--data', stack.data);
  expect({ code, err }).toEqual({ code: 0, err: [] });
  expect(out).toHaveLength(15);
  for (const line of out) expect(line).toMatch(/^✔ [a-z ]+ {2}\S/);
  expect(out).toContainEqual(expect.stringMatching(/^✔ functions +Init reads its keys and an object$/));
  await stack.idle();
  expect(stack.ended).toHaveLength(before);
});

test('doctor prints JSON lines, and returns 1 for wrong keys and for versions that stay', async () => {
  const stack = await newStack();
  const VersioningConfiguration = { Status: BucketVersioningStatus.Enabled };
  await stack.s3.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration }));
  vi.stubEnv('VOD_SECRET_KEY', 'another');
  onTestFinished(() => void vi.unstubAllEnvs());
  const { code, out } = await runCommand('doctor', '--json', '--local', '--data', stack.data);
  expect(code).toBe(1);
  const findings = out.map((line): unknown => JSON.parse(line));
  expect(findings).toHaveLength(15);
  expect(findings).toContainEqual({
    check: 'keys',
    ok: false,
    message: expect.stringMatching(/code -10002/),
  });
  expect(findings).toContainEqual({
    check: 'versioning',
    ok: false,
    message: expect.stringMatching(/second version/),
  });
  expect(findings.filter((finding) => JSON.stringify(finding).includes('"ok":false'))).toHaveLength(2);
  expect(out.join('\n')).not.toMatch(/another|local-key|local-secret/);
});
