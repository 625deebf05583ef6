import { randomInt } from 'node:crypto';
import { defineConfig } from 'vitest/config';

const [major] = process.versions.node.split('.').map(Number);
if ((major ?? 0) < 24) {
  throw new Error(
    `vitest: expected Node.js 24, got ${process.version}. Run "npm test", which uses the Node.js of the package "node". ` +
      'If "npm ci" did not install it, allow its install script.',
  );
}

// `npm test` has a fixed seed. A long run (any FUZZ_* setting) has a random one, which it prints.
const { FUZZ_RUNS, FUZZ_SECONDS, FUZZ_SEED } = process.env;
const isLongRun = FUZZ_RUNS ?? FUZZ_SECONDS ?? FUZZ_SEED;
const seed = FUZZ_SEED ?? String(isLongRun ? randomInt(2 ** 31) : 1);
if (isLongRun) process.stdout.write(`FUZZ_SEED=${seed}\n`);

// These tests neither change `process.env` for good nor start a stack, which does: their files share a process and its modules,
// which saves 0.8 s of CPU time per file.
const shared = [
  'test/{contract,fuzz}/**/*.test.ts',
  'test/unit/{bench,cos,operate,quota,s3,steps,trigger,upload,vod,write-back}/**/*.test.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    // Many tests wait for timers and sockets: three processes keep two cores busy.
    maxWorkers: 3,
    testTimeout: isLongRun ? 24 * 60 * 60_000 : 60_000,
    setupFiles: 'test/support/setup.ts',
    env: { TEST_SEED: seed, POWERTOOLS_LOG_LEVEL: 'SILENT', AWS_EC2_METADATA_DISABLED: 'true' },
    projects: [
      { extends: true, test: { name: 'shared', include: shared, isolate: false } },
      { extends: true, test: { name: 'isolated', include: ['test/**/*.test.ts'], exclude: shared } },
    ],
  },
});
