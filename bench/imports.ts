import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { readBundles } from '../deploy/checks.ts';
import { BUNDLE_DIR } from '../deploy/paths.ts';
import { HANDLER_FLAGS } from './flags.ts';

/** How long the functions' code takes to load: the part of a cold start that is ours. */

/** Fresh processes for each bundle, in turns: what else the machine does meets all of them. */
export const IMPORTS = 21;

export type ImportTime = Readonly<{ name: string; ms: number; leastMs: number }>;

const run = promisify(execFile);

/** `bareMs`: a whole process that loads nothing. */
export async function importTimes(
  say: (text: string) => void,
): Promise<{ bundles: ImportTime[]; bareMs: number }> {
  await run(process.execPath, ['deploy/main.ts', 'package'], { cwd: resolve(import.meta.dirname, '..') });
  const built = (await readBundles(BUNDLE_DIR)).map(({ name, path }) => ({
    name,
    path,
    times: [] as number[],
  }));
  const bare: number[] = [];
  say(`import  ${IMPORTS} times each`);
  for (let time = 0; time < IMPORTS; time++) {
    const began = performance.now();
    await run(process.execPath, [...HANDLER_FLAGS, '-e', '0']);
    bare.push(performance.now() - began);
    for (const { path, times } of built) {
      const { stdout } = await run(process.execPath, [...HANDLER_FLAGS, '-e', TIMED, path]);
      times.push(Number(stdout));
    }
  }
  const bundles = built.map(({ name, times }) => ({
    name,
    ms: median(times),
    leastMs: Math.min(...times),
  }));
  return { bundles, bareMs: median(bare) };
}

const TIMED = `
  const began = process.hrtime.bigint();
  require(process.argv[1]);
  process.stdout.write(String(Number(process.hrtime.bigint() - began) / 1e6));
  process.exit();`;

const median = (times: readonly number[]): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
