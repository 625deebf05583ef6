import { defineConfig } from 'vitest/config';

const [major] = process.versions.node.split('.').map(Number);
if ((major ?? 0) < 24) {
  throw new Error(
    `vitest: expected Node.js 24, got ${process.version}. Run "npm test", which uses the Node.js of the package "node". ` +
      'If "npm ci" did not install it, allow its install script.',
  );
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Handlers read their settings from the environment, so each file runs in a separate process.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    env: { POWERTOOLS_LOG_LEVEL: 'SILENT', AWS_EC2_METADATA_DISABLED: 'true' },
  },
});
