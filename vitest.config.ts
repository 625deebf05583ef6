import { defineConfig } from 'vitest/config';

const [major] = process.versions.node.split('.').map(Number);
if ((major ?? 0) < 24) {
  throw new Error(
    `The tests need Node 24, this is ${process.version}. Run them with "npm test": it takes the Node 24 of the package ` +
      '"node", which "npm ci" installs; if it is not there, its install script was not allowed to run.',
  );
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Handlers find their settings in the environment: each file has a process of its own.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    env: { POWERTOOLS_LOG_LEVEL: 'SILENT', AWS_EC2_METADATA_DISABLED: 'true' },
  },
});
