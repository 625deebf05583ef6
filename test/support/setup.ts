import fc from 'fast-check';
import { createRandom, resetBytes } from './values.ts';

/** Runs before each test file: gives everything random the seed that vitest.config.ts chose. fast-check prints it on failure. */

const seed = Number(process.env.TEST_SEED);
fc.configureGlobal({ seed });
Math.random = createRandom(seed);
resetBytes();
