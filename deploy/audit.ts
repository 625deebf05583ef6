import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { styleText } from 'node:util';
import * as v from 'valibot';

/** `npm run audit`: under which licences the packages stand that are deployed, and what is known against them. */

const USAGE = `npm run audit

Lists the licences of all packages that the functions are made of, and asks the registry for advisories on them.

Ends with 0: every licence is allowed, and nothing is known against any package
          1: a licence is not allowed, or an advisory is known
          2: the licences are allowed, but the registry did not tell of advisories`;

/** Permissive ones, which ask for no more than their notice. What else comes in is for a person to look at first. */
const ALLOWED = new Set([
  ...['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0'],
  ...['CC0-1.0', 'ISC', 'MIT', 'MIT-0', 'Unlicense'],
]);

const Names = v.optional(v.record(v.string(), v.string()), {});
const Package = v.object({
  version: v.optional(v.string(), ''),
  license: v.optional(v.string(), 'not said'),
  dependencies: Names,
  optionalDependencies: Names,
});
const Lock = v.object({ lockfileVersion: v.literal(3), packages: v.record(v.string(), Package) });

export type Licensed = Readonly<{ name: string; license: string; allowed: boolean }>;

/**
 * The packages of a lock file that the project's own dependencies lead to. (The lock file marks those for development, but
 * not what an optional peer brings along, such as a compiler.)
 * @throws where it is no lock file of version 3, or not whole
 */
export function licencesOf(lock: unknown): Licensed[] {
  const { packages } = v.parse(Lock, lock);
  const reached = new Map<string, Licensed>();
  const reach = (from: string): void => {
    const { dependencies = {}, optionalDependencies = {} } = packages[from] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const path = placeOf(name, from, packages);
      if (reached.has(path)) continue;
      const { version, license } = v.parse(Package, packages[path]);
      reached.set(path, { name: `${name}@${version}`, license, allowed: isAllowed(license) });
      reach(path);
    }
  };
  reach('');
  return [...reached.values()];
}

/** Where Node finds a package that another one asks for: beside it, or further up. */
function placeOf(name: string, from: string, packages: Readonly<Record<string, unknown>>): string {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (path in packages) return path;
    if (at === '')
      throw new Error(`package-lock.json: ${name}, which ${from || 'the project'} needs, is not in it`);
  }
}

/** An SPDX expression of names, or of one level of OR or AND. https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/ */
function isAllowed(license: string): boolean {
  const words = license.replace(/^\((.*)\)$/, '$1');
  const has = (name: string): boolean => ALLOWED.has(name);
  return words.split(' OR ').some(has) || words.split(' AND ').every(has);
}

const Audit = v.object({
  auditReportVersion: v.literal(2),
  vulnerabilities: v.record(
    v.string(),
    v.object({
      severity: v.string(),
      range: v.string(),
      via: v.array(v.union([v.string(), v.object({ title: v.string(), url: v.string() })])),
    }),
  ),
});
const Fault = v.object({ message: v.string() });

/** What is known, a line each; or why nobody can say. */
export type Advisories = { known: string[] } | { unasked: string };

/** What `npm audit --json` has answered. */
export function advisoriesIn(answer: string): Advisories {
  const json = parseJson(answer);
  if (v.is(Audit, json)) {
    const lines = Object.entries(json.vulnerabilities).map(([name, { severity, range, via }]) => {
      const reason = via.map((one) => (typeof one === 'string' ? `by ${one}` : `${one.title} ${one.url}`));
      return `${severity}: ${name} ${range}: ${reason.join('; ')}`;
    });
    return { known: lines };
  }
  return {
    unasked: v.is(Fault, json) ? json.message : `npm audit answered ${JSON.stringify(answer.slice(0, 80))}`,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** npm ends with 1 where it knows of something, or cannot ask: what it says counts. */
function askRegistry(): Promise<string> {
  const { npm_execpath: npm } = process.env;
  const [command, ...args] = npm ? [process.execPath, npm] : ['npm'];
  return new Promise((resolve) => {
    const asked = [...args, 'audit', '--omit=dev', '--json'];
    execFile(command, asked, { timeout: 60_000 }, (_, stdout) => resolve(stdout));
  });
}

async function main(argv: readonly string[]): Promise<number> {
  if (argv.length > 0) {
    process.stdout.write(`${USAGE}\n`);
    return argv[0] === '--help' ? 0 : 1;
  }
  const packages = licencesOf(JSON.parse(readFileSync('package-lock.json', 'utf8')));
  for (const [license, group = []] of Object.entries(Object.groupBy(packages, (one) => one.license))) {
    process.stdout.write(`${license}: ${group.map(({ name }) => name).join(', ')}\n`);
  }
  const refused = packages.filter(({ allowed }) => !allowed);
  for (const { name, license } of refused)
    complain(`licence of ${name}: ${license}: not among those allowed`);
  const advisories = advisoriesIn(await askRegistry());
  if ('unasked' in advisories)
    complain(`advisories: nobody can say, the registry did not tell: ${advisories.unasked}`);
  else for (const line of advisories.known) complain(line);
  if (refused.length > 0 || ('known' in advisories && advisories.known.length > 0)) return 1;
  if ('unasked' in advisories) return 2;
  process.stdout.write(`${packages.length} packages, every licence allowed, no advisory known\n`);
  return 0;
}

const complain = (line: string): void => {
  process.stderr.write(`${styleText('red', '✘', { stream: process.stderr })} ${line}\n`);
};

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
