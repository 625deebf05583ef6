import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { readBundles } from '../deploy/checks.ts';
import { BUNDLE_DIR } from '../deploy/paths.ts';
import { HANDLER_FLAGS } from './flags.ts';

/** Processes per bundle. The bundles take turns, so that other load on the machine affects all of them. */
export const IMPORTS = 21;

export type ImportTime = Readonly<{ name: string; ms: number; minMs: number }>;

const run = promisify(execFile);

/**
 * Measures how long each bundle takes to load in a new process: the part of a cold start that this project controls.
 * @returns medians; `bareMs` is a whole process that loads nothing
 */
export async function measureImports(
  log: (text: string) => void,
): Promise<{ bundles: ImportTime[]; bareMs: number }> {
  const options = { cwd: resolve(import.meta.dirname, '..') };
  await run(process.execPath, ['deploy/main.ts', 'package', '--region', 'us-east-1'], options);
  const bundles = readBundles(BUNDLE_DIR).map((bundle) => ({ ...bundle, times: [] as number[] }));
  const bare: number[] = [];
  log(`import  ${IMPORTS} times each`);
  for (let n = 0; n < IMPORTS; n++) {
    const began = performance.now();
    await run(process.execPath, [...HANDLER_FLAGS, '-e', '0']);
    bare.push(performance.now() - began);
    for (const { path, times } of bundles) {
      const { stdout } = await run(process.execPath, [...HANDLER_FLAGS, '-e', TIMED_REQUIRE, path]);
      times.push(Number(stdout));
    }
  }
  return {
    bundles: bundles.map(({ name, times }) => ({ name, ms: median(times), minMs: Math.min(...times) })),
    bareMs: median(bare),
  };
}

const TIMED_REQUIRE = `
  const began = process.hrtime.bigint();
  require(process.argv[1]);
  process.stdout.write(String(Number(process.hrtime.bigint() - began) / 1e6));
  process.exit();`;

const median = (times: readonly number[]): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
