import { resolve } from 'node:path';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import plugins from '../../../deploy/esbuild-plugins.ts';

test('fails when a module is imported late', async () => {
  // The build in `serverless.yml` replaces the event streams module.
  const building = build({
    absWorkingDir: resolve(import.meta.dirname, '../../..'),
    entryPoints: ['handlers/trigger.ts'],
    bundle: true,
    write: false,
    platform: 'node',
    mainFields: ['module', 'main'],
    logLevel: 'silent',
    plugins,
  });
  await expect(building).rejects.toThrow(/HttpProtocol\.js imports \S+event-streams\/index\.js late/);
});
