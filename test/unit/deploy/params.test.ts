import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { checkParameters, checkRegion } from '../../../deploy/params.ts';

test.each([
  [[]],
  [['--stage', 'prod', '--param', 'bucket=films', '--param=bucketMode=existing']],
  [['--param=vodApi=2018-07-17', '--param=vodSubAppId=1500012345']],
  [['--param=nodeOptions=--enable-source-maps', '--verbose']],
])('checkParameters accepts %j', (options) => {
  expect(() => checkParameters(options)).not.toThrow();
});

test.each([
  [['--param=bukcet=films'], /--param bukcet: expected one of bucket, bucketMode, prefix/],
  [['--param', 'memroy=2048'], /--param memroy: /],
  [['--param'], /--param : expected one of/],
  [['--param=bucketMode=exisitng'], /--param bucketMode: expected new or existing, got exisitng/],
  [['--param=vodApi=2018'], /--param vodApi: expected 2.0 or 2018-07-17, got 2018/],
  [['--param=writeBack=tag'], /--param writeBack: expected metadata or annotation or tags or auto, got tag/],
])('checkParameters rejects %j', (options, message) => {
  expect(() => checkParameters(options)).toThrow(message);
});

test.each([
  [['--region', 'eu-central-1'], {}],
  [['-r', 'eu-central-1'], {}],
  [['--region=eu-central-1'], {}],
  [[], { AWS_REGION: 'eu-central-1' }],
])('checkRegion accepts %j with %j', (options, env) => {
  expect(() => checkRegion(options, env)).not.toThrow();
});

test('checkRegion guesses no region', () => {
  expect(() => checkRegion(['--stage', 'prod'], { AWS_REGION: '' })).toThrow(
    '--region: expected a region, got none. Set --region or AWS_REGION.',
  );
});

const run = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['deploy/main.ts', ...args], {
    cwd: resolve(import.meta.dirname, '../../..'),
  });

test('deploy/main.ts reports a wrong parameter in one line with exit code 1, and prints its usage', async () => {
  const oneLine = expect.stringMatching(/^✘ --param wat: [^\n]+\n$/);
  await expect(run('deploy', '--param=wat=1')).rejects.toMatchObject({ code: 1, stderr: oneLine });
  const usage = '✘ command wat: expected one of package, deploy, remove\n';
  await expect(run('wat')).rejects.toMatchObject({ code: 1, stderr: usage });
  expect((await run('package', '--help')).stdout).toContain('--stage NAME');
});
