import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseAdvisories, readLicenses } from '../../../deploy/audit.ts';

describe('readLicenses', () => {
  const lock: unknown = JSON.parse(readFileSync('package-lock.json', 'utf8'));

  test('finds only permissive licenses, and covers each direct dependency', () => {
    const packages = readLicenses(lock);
    expect(packages.filter(({ allowed }) => !allowed)).toEqual([]);
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
    const names = packages.map(({ name }) => name);
    for (const [name, version] of Object.entries(dependencies)) expect(names).toContain(`${name}@${version}`);
    expect(names.filter((name) => /^(vitest|typescript|node)@/.test(name))).toEqual([]);
  });

  test.each([
    ['MIT', true],
    ['(MIT OR GPL-3.0)', true],
    ['GPL-3.0 OR AGPL-3.0', false],
    ['(MIT AND Apache-2.0)', true],
    ['MIT AND GPL-3.0', false],
    ['(MIT OR GPL-3.0) AND AGPL-3.0', false],
    ['SEE LICENSE IN x', false],
    [undefined, false],
  ])('%s is allowed: %s', (license, allowed) => {
    const packages = {
      '': { license: 'none', dependencies: { a: '1' }, devDependencies: { d: '1' } },
      'node_modules/a': { version: '1.0.0', license: 'ISC', optionalDependencies: { '@b/c': '1' } },
      'node_modules/a/node_modules/@b/c': { version: '1.2.3', license, dependencies: { a: '1', f: '1' } },
      'node_modules/f': { version: '1.1.0', license: 'MIT', dependencies: { '@b/c': '2' } },
      'node_modules/@b/c': { version: '2.0.0', license: 'MIT' },
      'node_modules/d': { version: '1.0.0', license: 'GPL-3.0' },
    };
    expect(readLicenses({ lockfileVersion: 3, packages })).toEqual([
      { name: 'a@1.0.0', license: 'ISC', allowed: true },
      { name: '@b/c@1.2.3', license: license ?? 'unknown', allowed },
      { name: 'f@1.1.0', license: 'MIT', allowed: true },
      { name: '@b/c@2.0.0', license: 'MIT', allowed: true },
    ]);
  });

  test('rejects an incomplete lock file and names the missing package', () => {
    const packages = { '': { dependencies: { a: '1' } } };
    expect(() => readLicenses({ lockfileVersion: 3, packages })).toThrow(
      'expected a, which the project needs',
    );
  });
});

describe('parseAdvisories', () => {
  const report = (vulnerabilities: object): string =>
    JSON.stringify({ auditReportVersion: 2, vulnerabilities, metadata: {} });

  test('returns no lines for a clean report', () => {
    expect(parseAdvisories(report({}))).toEqual({ lines: [] });
  });

  test('returns one line per advisory', () => {
    const via = [{ title: 'Pollution', url: 'https://example/1', cwe: [] }, 'other'];
    const found = parseAdvisories(report({ a: { name: 'a', severity: 'high', range: '<2', via } }));
    expect(found).toEqual({ lines: ['high: a <2: Pollution https://example/1; by other'] });
  });

  test.each([
    ['{"message":"405 Method Not Allowed","statusCode":405}', '405 Method Not Allowed'],
    ['', 'npm audit: expected a report, got ""'],
    ['<html>', 'npm audit: expected a report, got "<html>"'],
    ['{"auditReportVersion":3,"vulnerabilities":{}}', 'npm audit: expected a report, got "{'],
  ])('returns an error for anything else: %s', (text, reason) => {
    expect(parseAdvisories(text)).toEqual({ error: expect.stringContaining(reason) });
  });
});
