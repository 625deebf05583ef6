import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { styleText } from 'node:util';
import * as v from 'valibot';

/** `npm run audit`: the licenses of the deployed packages, and the advisories known against them. */

const USAGE = `npm run audit

Lists the licenses of all packages in the functions, and queries the npm registry for advisories.

Exit codes: 0  all licenses are allowed, and no advisory is known
            1  a license is not allowed, or an advisory is known
            2  all licenses are allowed, but the registry returned no report`;

/** Permissive licenses, which require only their notice. */
const ALLOWED = new Set([
  ...['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0'],
  ...['CC0-1.0', 'ISC', 'MIT', 'MIT-0', 'Unlicense'],
]);

const Names = v.optional(v.record(v.string(), v.string()), {});
const Package = v.object({
  version: v.optional(v.string(), ''),
  license: v.optional(v.string(), 'unknown'),
  dependencies: Names,
  optionalDependencies: Names,
});
const Lock = v.object({ lockfileVersion: v.literal(3), packages: v.record(v.string(), Package) });

export type LicensedPackage = Readonly<{ name: string; license: string; allowed: boolean }>;

/**
 * The packages of a lock file that the project's dependencies need, directly or indirectly. The lock file's `dev` flags are not enough:
 * they miss the packages of optional peers, such as a compiler.
 * @throws {Error} when it is not a complete lock file of version 3
 */
export function readLicenses(lock: unknown): LicensedPackage[] {
  const { packages } = v.parse(Lock, lock);
  const found = new Map<string, LicensedPackage>();
  const visit = (from: string): void => {
    const { dependencies = {}, optionalDependencies = {} } = packages[from] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const path = resolvePackage(name, from, packages);
      if (found.has(path)) continue;
      const { version, license } = v.parse(Package, packages[path]);
      found.set(path, { name: `${name}@${version}`, license, allowed: isAllowed(license) });
      visit(path);
    }
  };
  visit('');
  return [...found.values()];
}

/** Node's lookup: the nearest node_modules folder that has the package. */
function resolvePackage(name: string, from: string, packages: Readonly<Record<string, unknown>>): string {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    const path = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (path in packages) return path;
    if (at === '')
      throw new Error(`package-lock.json: expected ${name}, which ${from || 'the project'} needs`);
  }
}

/** Reads an SPDX expression with at most one level of OR or AND. https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/ */
function isAllowed(license: string): boolean {
  const expression = license.replace(/^\((.*)\)$/, '$1');
  const has = (name: string): boolean => ALLOWED.has(name);
  return expression.split(' OR ').some(has) || expression.split(' AND ').every(has);
}

const AuditReport = v.object({
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
const RegistryError = v.object({ message: v.string() });

/** One line per advisory, or the reason why there is no report. */
export type Advisories = { lines: string[] } | { error: string };

/** Parses the output of `npm audit --json`. */
export function parseAdvisories(output: string): Advisories {
  const json = parseJson(output);
  if (v.is(AuditReport, json)) {
    const lines = Object.entries(json.vulnerabilities).map(([name, { severity, range, via }]) => {
      const causes = via.map((one) => (typeof one === 'string' ? `by ${one}` : `${one.title} ${one.url}`));
      return `${severity}: ${name} ${range}: ${causes.join('; ')}`;
    });
    return { lines };
  }
  if (v.is(RegistryError, json)) return { error: json.message };
  return { error: `npm audit: expected a report, got ${JSON.stringify(output.slice(0, 80))}` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** npm exits with 1 both for advisories and for errors, so only its output counts. */
function runNpmAudit(): Promise<string> {
  const { npm_execpath: npm } = process.env;
  const [command, ...args] = npm ? [process.execPath, npm] : ['npm'];
  return new Promise((resolve) => {
    execFile(command, [...args, 'audit', '--omit=dev', '--json'], { timeout: 60_000 }, (_, stdout) =>
      resolve(stdout),
    );
  });
}

async function main(argv: readonly string[]): Promise<number> {
  if (argv.length > 0) {
    process.stdout.write(`${USAGE}\n`);
    return argv[0] === '--help' ? 0 : 1;
  }
  const packages = readLicenses(JSON.parse(readFileSync('package-lock.json', 'utf8')));
  for (const [license, group = []] of Object.entries(Object.groupBy(packages, (one) => one.license))) {
    process.stdout.write(`${license}: ${group.map(({ name }) => name).join(', ')}\n`);
  }
  const rejected = packages.filter(({ allowed }) => !allowed);
  for (const { name, license } of rejected) printProblem(`license of ${name}: ${license} is not allowed`);
  const advisories = parseAdvisories(await runNpmAudit());
  if ('error' in advisories) printProblem(`advisories: the registry returned no report: ${advisories.error}`);
  else for (const line of advisories.lines) printProblem(line);
  if (rejected.length > 0 || ('lines' in advisories && advisories.lines.length > 0)) return 1;
  if ('error' in advisories) return 2;
  process.stdout.write(`${packages.length} packages, all licenses allowed, no advisory known\n`);
  return 0;
}

const printProblem = (line: string): void => {
  process.stderr.write(`${styleText('red', '✘', { stream: process.stderr })} ${line}\n`);
};

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
