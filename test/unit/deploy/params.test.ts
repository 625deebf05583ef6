import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { checkParameters } from '../../../deploy/params.ts';

/** What is wrong with a command is told before anything is built. */

test.each([
  [[]],
  [['--stage', 'prod', '--param', 'bucket=films', '--param=bucketMode=existing']],
  [['--param=nodeOptions=--enable-source-maps', '--verbose']],
])('%j: parameters that the stack has', (options) => {
  expect(() => checkParameters(options)).not.toThrow();
});

test.each([
  [['--param=bukcet=films'], /--param bukcet: the stack has bucket, bucketMode, prefix/],
  [['--param', 'memroy=2048'], /--param memroy: /],
  [['--param'], /--param : the stack has/],
  [['--param=bucketMode=exisitng'], /--param bucketMode=exisitng: expected new or existing/],
])('%j: told apart', (options, message) => {
  expect(() => checkParameters(options)).toThrow(message);
});

const run = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['deploy/main.ts', ...args], {
    cwd: resolve(import.meta.dirname, '../../..'),
  });

test('the command: one line and exit code 1; --help', async () => {
  await expect(run('deploy', '--param=wat=1')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^deploy: --param wat: [^\n]+\n$/),
  });
  await expect(run('wat')).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('npm run package'),
  });
  expect((await run('package', '--help')).stdout).toContain('--stage NAME');
});
