import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { BUILD, type Bundle, bundle, zip } from './bundle.ts';
import { GATES } from './gates.ts';
import { readTemplate } from './template.ts';

/** `npm run package`, `npm run deploy`, `npm run remove`: osls, with our bundles before it and gates after it. */

const USAGE = `npm run package -- [options]    builds the functions and the template, and looks them over; needs no account
npm run deploy -- [options]     the same, then puts the stack into AWS
npm run remove -- [options]     removes the stack; the bucket and its objects stay

  --stage NAME            of which there may be several in an account (default: dev)
  --region NAME           (default: AWS_REGION, else us-east-1)
  --param="name=value"    a setting of the stack; serverless.yml lists them
  --aws-profile NAME      whose credentials, if not the environment's
  --help`;

const root = resolve(import.meta.dirname, '..');
const print = (text: string): void => void process.stdout.write(`${text}\n`);

export type Places = Readonly<{ build: string; out: string }>;
const PLACES: Places = { build: BUILD, out: join(root, '.serverless') };

/** What ended a command, said in full already or in `message`. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

/**
 * Builds the functions into `build` and the template into `out`, and holds both to the gates.
 * @throws {Refused} naming the gates that are shut
 */
export async function makePackage(
  options: readonly string[],
  { build, out }: Places = PLACES,
): Promise<Bundle[]> {
  const bundles = await bundle(build);
  await zip(bundles);
  await osls(['package', '--package', out, '--param', `build=${build}`, ...options]);
  const templatePath = join(out, 'cloudformation-template-update-stack.json');
  const packaged = { templatePath, template: await readTemplate(templatePath), bundles };
  const shut: string[] = [];
  for (const [gate, faultsOf] of Object.entries(GATES)) {
    const faults = faultsOf(packaged);
    print(faults.length === 0 ? `✔ ${gate}` : `✘ ${gate}: ${faults.join('\n    ')}`);
    if (faults.length > 0) shut.push(gate);
  }
  for (const { name, bytes } of bundles) print(`    ${name.padEnd(8)} ${(bytes / 1000).toFixed(0)} kB`);
  if (shut.length > 0) throw new Refused(`not to be deployed: see above: ${shut.join(', ')}`);
  return bundles;
}

/** @throws {Refused} when it ends with another code than 0; what is wrong it has said itself */
async function osls(args: readonly string[]): Promise<void> {
  const bin = createRequire(import.meta.url).resolve('osls/bin/serverless.js');
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Refused(`osls ${args[0]} ended with ${code}`);
}

const COMMANDS: Readonly<Record<string, (options: readonly string[]) => Promise<unknown>>> = {
  package: (options) => makePackage(options),
  async deploy(options) {
    await makePackage(options);
    // What has passed, and nothing built anew.
    await osls(['deploy', '--package', PLACES.out, '--param', `build=${PLACES.build}`, ...options]);
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
    await command(options);
    return 0;
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
