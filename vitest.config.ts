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

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Handlers read their settings from the environment, so each file runs in a separate process.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    setupFiles: 'test/support/setup.ts',
    env: { TEST_SEED: seed, POWERTOOLS_LOG_LEVEL: 'SILENT', AWS_EC2_METADATA_DISABLED: 'true' },
  },
});
