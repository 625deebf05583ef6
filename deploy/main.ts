import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { UsageError } from '../cli/errors.ts';
import { runMain } from '../cli/run-main.ts';
import { printUsage } from '../cli/usage.ts';
import { DEPLOY, PACKAGE, REMOVE } from './args.ts';
import { readBundles, runChecks } from './checks.ts';
import { checkParameters, checkRegion } from './params.ts';
import { BUNDLE_DIR, WORK_DIR } from './paths.ts';
import { readTemplate } from './template.ts';

/** `npm run package`, `npm run deploy`, and `npm run remove`: osls, with checks between packaging and deployment. */

const root = resolve(import.meta.dirname, '..');
const OUT = join(root, '.serverless');
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/**
 * Builds the functions' zips and the template in `.serverless/`, and checks both.
 * @throws {Error} when osls fails, or naming the failed checks
 */
async function makePackage(options: readonly string[]): Promise<void> {
  // The plugin keeps old files in this folder and adds them to every zip.
  await rm(WORK_DIR, { recursive: true, force: true });
  await mkdir(WORK_DIR);
  // The bundles are CommonJS. A zip has no package.json, but the project's says "module".
  await writeFile(join(WORK_DIR, 'package.json'), '{"type":"commonjs"}\n');
  // File modes become part of the zips. A fixed umask makes equal code an equal zip that Lambda can read.
  process.umask(0o022);
  await osls(['package', '--package', OUT, ...options]);
  const templatePath = join(OUT, 'cloudformation-template-update-stack.json');
  const bundles = readBundles(BUNDLE_DIR);
  const { lines, failed } = runChecks({ templatePath, template: await readTemplate(templatePath), bundles });
  for (const line of lines) print(line);
  for (const { name, bytes } of bundles) print(`    ${name.padEnd(8)} ${(bytes / 1000).toFixed(0)} kB`);
  if (failed.length > 0) throw new Error(`checks failed: ${failed.join(', ')}. See the lines above`);
}

/** Runs osls, which prints its own errors. @throws {Error} when its exit code is not 0 */
async function osls(args: readonly string[]): Promise<void> {
  const bin = createRequire(import.meta.url).resolve('osls/bin/serverless.js');
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`osls ${args[0]}: expected exit code 0, got ${code}`);
}

const COMMANDS: Readonly<Record<string, (options: readonly string[]) => Promise<void>>> = {
  package: makePackage,
  async deploy(options) {
    await makePackage(options);
    await osls(['deploy', '--package', OUT, ...options]); // deploys the checked package without building it again
  },
  remove: (options) => osls(['remove', ...options]),
};

async function main([name = '', ...options]: readonly string[]): Promise<number> {
  const run = COMMANDS[name];
  const definition = [PACKAGE, DEPLOY, REMOVE].find((command) => command.name === `npm run ${name}`);
  if (!run || !definition)
    throw new UsageError(`command ${name}: expected one of ${Object.keys(COMMANDS).join(', ')}`);
  if (options.includes('--help')) return printUsage(definition);
  checkParameters(options);
  checkRegion(options, process.env);
  await run(options);
  return 0;
}

await runMain(main);
