import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { readBundles, runChecks } from './checks.ts';
import { checkParameters } from './params.ts';
import { BUNDLE_DIR, WORK_DIR } from './paths.ts';
import { readTemplate } from './template.ts';

/** `npm run package`, `npm run deploy`, `npm run remove`: osls, with gates after it. */

const USAGE = `npm run package -- [options]    builds the functions and the template, and looks them over; needs no account
npm run deploy -- [options]     the same, then puts the stack into AWS
npm run remove -- [options]     removes the stack; the bucket and its objects stay

  --stage NAME            of which there may be several in an account (default: dev)
  --region NAME           (default: AWS_REGION, else us-east-1)
  --param="name=value"    a setting of the stack; serverless.yml lists them
  --aws-profile NAME      whose credentials, if not the environment's
  --help`;

const root = resolve(import.meta.dirname, '..');
const OUT = join(root, '.serverless');
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/**
 * Builds the functions' zips and the template into `.serverless/`, and holds both to the gates.
 * @throws {Error} of osls, or naming the gates that are failed
 */
async function makePackage(options: readonly string[]): Promise<void> {
  // What is left of a function that is no more would get into every zip.
  await rm(WORK_DIR, { recursive: true, force: true });
  await mkdir(WORK_DIR);
  // The project's own package.json says "module", of the code in here too; in a zip there is none.
  await writeFile(join(WORK_DIR, 'package.json'), '{"type":"commonjs"}\n');
  // The files' modes get into the zips: equal code, equal zip, and one that Lambda's user may read.
  process.umask(0o022);
  await osls(['package', '--package', OUT, ...options]);
  const templatePath = join(OUT, 'cloudformation-template-update-stack.json');
  const bundles = await readBundles(BUNDLE_DIR);
  const { lines, failed } = runChecks({ templatePath, template: await readTemplate(templatePath), bundles });
  for (const line of lines) print(line);
  for (const { name, bytes } of bundles) print(`    ${name.padEnd(8)} ${(bytes / 1000).toFixed(0)} kB`);
  if (failed.length > 0) throw new Error(`not to be deployed as it is: ${failed.join(', ')}, see above`);
}

/** @throws {Error} when it ends with another code than 0; what is wrong it has said itself */
async function osls(args: readonly string[]): Promise<void> {
  const bin = createRequire(import.meta.url).resolve('osls/bin/serverless.js');
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`osls ${args[0]} ended with ${code}`);
}

const COMMANDS: Readonly<Record<string, (options: readonly string[]) => Promise<void>>> = {
  package: makePackage,
  async deploy(options) {
    await makePackage(options);
    await osls(['deploy', '--package', OUT, ...options]); // what has passed the gates: nothing is built anew
  },
  remove: (options) => osls(['remove', ...options]),
};

async function main([name = '', ...options]: readonly string[]): Promise<number> {
  const command = COMMANDS[name];
  if (!command || options.includes('--help')) {
    print(USAGE);
    return command ? 0 : 1;
  }
  try {
    checkParameters(options);
    await command(options);
    return 0;
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
