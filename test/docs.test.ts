import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { PRICES } from '../bench/prices.ts';
import type { CommandDefinition } from '../cli/args.ts';
import { usage } from '../cli/usage.ts';
import { DEPLOY, PACKAGE, REMOVE } from '../deploy/args.ts';
import { stackParameters } from '../deploy/params.ts';
import { METRICS, NAMESPACE } from '../handlers/metrics.ts';
import { Outcome } from '../lib/schemas.ts';
import { IMAGE_EXTENSIONS, VIDEO_EXTENSIONS } from '../lib/upload/media-type.ts';
import { START } from '../local/cli/args.ts';
import { PARAMETERS } from '../local/s3/parameters.ts';
import { VOD } from '../local/vod/args.ts';
import { BACKFILL, DOCTOR, ENABLE_EVENTS, INVOKE, REDRIVE, REPLAY } from '../operate/args.ts';
import { ERROR_NAMES, filesIn, read, root } from './support/sources.ts';

/** The documentation agrees with the code. */

/** A page, or the section of it under a heading. */
function section(path: string, heading?: string): string {
  const page = read(path);
  if (heading === undefined) return page;
  const start = page.indexOf(`\n## ${heading}\n`);
  expect(start, `${path}: heading ${heading}`).toBeGreaterThan(0);
  const end = page.indexOf('\n## ', start + 1);
  return page.slice(start, end < 0 ? undefined : end);
}

/** The cells of a page's table rows that begin with a name in backticks. */
const rowsOf = (text: string): string[][] =>
  text.split('\n').flatMap((line) =>
    /^\| `/.test(line)
      ? [
          line
            .split('|')
            .slice(1, -1)
            .map((cell) => cell.trim()),
        ]
      : [],
  );

const codeIn = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

/** The names in the first column of a page's tables. */
const namesIn = (text: string): string[] => rowsOf(text).flatMap(([first = '']) => codeIn(first));

test('docs/reference/local-s3.md lists the operations of the local S3', () => {
  const documented = namesIn(section('docs/reference/local-s3.md', 'Operations'));
  expect(documented.filter((name) => /^[A-Z]\w+$/.test(name)).sort()).toEqual(Object.keys(PARAMETERS).sort());
});

describe('docs/reference/settings.md', () => {
  const SETTINGS = 'docs/reference/settings.md';

  test('lists the settings that lib/config.ts reads, and only settings that the code reads', () => {
    const code = ['handlers', 'lib', 'local']
      .flatMap((folder) => filesIn(folder))
      .map(read)
      .join('\n');
    const documented = [
      ...namesIn(section(SETTINGS, 'Function settings')),
      ...namesIn(section(SETTINGS, 'Upload options')),
    ];
    for (const name of documented) {
      const base = name.replace(/_PARAMETER$/, '');
      const option = base.toLowerCase().replaceAll('_', '-'); // VOD_CLASS_ID is the option vod-class-id
      expect(code.includes(base) || code.includes(`'${option}'`), name).toBe(true);
    }
    const settings = read('lib/config.ts').matchAll(
      /\b((?:VOD|S3|COPY|WRITE|QUOTA|AWS)_[A-Z0-9_]+|STATE_MACHINE_ARN|(?:DEAD_LETTER_)?QUEUE_URL)\b(?=[:'?])/g,
    );
    expect(documented).toEqual(expect.arrayContaining([...settings].map(([name]) => name)));
  });

  test('lists the stack parameters of serverless.yml', () => {
    expect(namesIn(section(SETTINGS, 'Stack parameters')).sort()).toEqual(
      Object.keys(stackParameters()).sort(),
    );
  });
});

test('docs/reference/outcomes.md lists the outcomes and the accepted extensions', () => {
  const page = read('docs/reference/outcomes.md');
  expect(namesIn(page)).toEqual(expect.arrayContaining([...Outcome.options]));
  const extensionsOf = (kind: string): string[] =>
    codeIn(new RegExp(`^\\| ${kind} \\|.*$`, 'm').exec(page)?.[0] ?? '');
  expect(extensionsOf('Video').sort()).toEqual([...VIDEO_EXTENSIONS].sort());
  expect(extensionsOf('Image').sort()).toEqual([...IMAGE_EXTENSIONS].sort());
});

test('docs/reference/errors.md has one row per error class', () => {
  const names = ERROR_NAMES.filter((name) => name !== 'S3VodError');
  expect(names.length).toBeGreaterThan(10);
  expect(namesIn(read('docs/reference/errors.md'))).toEqual(expect.arrayContaining(names));
});

test.each<CommandDefinition>([
  START,
  VOD,
  INVOKE,
  REPLAY,
  REDRIVE,
  BACKFILL,
  DOCTOR,
  ENABLE_EVENTS,
  PACKAGE,
  DEPLOY,
  REMOVE,
])(
  'docs/reference/cli.md lists the npm script and the options of $name, whose usage fits 80 columns',
  (command: CommandDefinition) => {
    const { name, options } = command;
    for (const line of usage(command).split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    const { scripts } = v.parse(
      v.object({ scripts: v.record(v.string(), v.string()) }),
      JSON.parse(read('package.json')),
    );
    const script = /[a-z-]+$/.exec(name)?.[0] ?? '';
    expect(Object.keys(scripts)).toContain(script);
    const documented = namesIn(read('docs/reference/cli.md')).map((option) => option.split(/[ =]/)[0]);
    for (const option of Object.keys(options)) expect(documented).toContain(`--${option}`);
  },
);

describe('docs/reference/metrics.md', () => {
  const page = read('docs/reference/metrics.md');
  const Template = v.object({
    Resources: v.intersect([
      v.object({
        Dashboard: v.object({ Properties: v.object({ DashboardBody: v.object({ 'Fn::Sub': v.string() }) }) }),
      }),
      v.record(v.string(), v.unknown()),
    ]),
  });
  const { Resources: resources } = v.parse(
    Template,
    parseYaml(read('deploy/observability.yml'), { logLevel: 'silent' }),
  );
  const dashboard = resources.Dashboard.Properties.DashboardBody['Fn::Sub'];

  test('has a row with the unit of each metric, and the dashboard shows each', () => {
    const documented = rowsOf(section('docs/reference/metrics.md', 'Metrics')).map(([name = '', unit]) => [
      codeIn(name)[0],
      unit,
    ]);
    expect(Object.fromEntries(documented)).toEqual(METRICS);
    const shown = [...dashboard.matchAll(/\["(\w+)", "(\w+)", "service", "s3-vod", "stage", "\$\{Stage\}"/g)];
    expect(shown.map(([, , name]) => name).sort()).toEqual(Object.keys(METRICS).sort());
    for (const [, namespace] of shown) expect(namespace).toBe(NAMESPACE);
  });

  test('says what the alarms cost', () => {
    const alarms = Object.entries(resources).filter(([name]) => name.endsWith('Alarm'));
    const metrics = alarms.map(([, alarm]) => JSON.stringify(alarm).match(/"MetricStat"/g)?.length ?? 1);
    const price = PRICES.alarmMonth * metrics.reduce((sum, count) => sum + count, 0);
    expect(page).toContain(`| Alarms | $0.10 for each of their metrics | $${price.toFixed(2)} |`);
  });

  test('describes each alarm, and the dashboard shows each', () => {
    const alarms = Object.keys(resources).filter((name) => name.endsWith('Alarm'));
    expect(alarms.length).toBeGreaterThan(3);
    for (const name of alarms) {
      expect(namesIn(page)).toContain(name);
      expect(dashboard).toContain(`\${${name}.Arn}`);
    }
  });

  test('belongs to a dashboard that shows every function', () => {
    const functions = [...read('deploy/observability.yml').matchAll(/\b([A-Z][a-z]+)LambdaFunction\b/g)];
    expect(new Set(functions.map(([, name]) => name))).toEqual(
      new Set(['Trigger', 'Init', 'Part', 'Finish', 'Cover']),
    );
  });
});

describe('docs/reference/iam.md', () => {
  const Policy = v.object({
    PolicyDocument: v.object({
      Statement: v.array(v.object({ Action: v.union([v.string(), v.array(v.string())]) })),
    }),
  });
  const WriteBack = v.object({ metadata: Policy, annotation: Policy, tags: Policy, auto: Policy });
  /** A role includes a policy of deploy/write-back.yml, or contains it. */
  const Included = v.pipe(v.string(), v.includes('deploy/write-back.yml'));
  const Role = v.object({ Properties: v.object({ Policies: v.array(v.union([Included, Policy])) }) });
  const parsed = <const S extends v.GenericSchema>(schema: S, path: string): v.InferOutput<S> =>
    v.parse(schema, parseYaml(read(path), { logLevel: 'silent' }));
  const actionsOf = ({ PolicyDocument }: v.InferOutput<typeof Policy>): string[] =>
    PolicyDocument.Statement.flatMap(({ Action }) => Action);
  const writeBack = parsed(WriteBack, 'deploy/write-back.yml');
  const rows = rowsOf(section('docs/reference/iam.md', 'Functions'));

  test('lists the actions of each function’s role', () => {
    const { Resources } = parsed(v.object({ Resources: v.record(v.string(), Role) }), 'deploy/roles.yml');
    const granted = Object.entries(Resources).flatMap(([role, { Properties }]) =>
      Properties.Policies.flatMap((policy) =>
        typeof policy === 'string' ? Object.values(writeBack).flatMap(actionsOf) : actionsOf(policy),
      ).map((action) => `${role.replace('Role', '').toLowerCase()} ${action}`),
    );
    const documented = rows.flatMap(([action = '', functions = '']) =>
      functions
        .replace('all', 'trigger, init, part, finish, cover')
        .split(', ')
        .map((name) => `${name} ${codeIn(action)[0]}`),
    );
    expect(documented.sort()).toEqual([...new Set(granted)].sort());
  });

  test('says which modes of writeBack allow an action, unless all do', () => {
    const modes = Object.entries(writeBack);
    const allowed = new Map<string, string[]>();
    for (const action of new Set(modes.flatMap(([, policy]) => actionsOf(policy)))) {
      const allowing = modes.flatMap(([mode, policy]) => (actionsOf(policy).includes(action) ? [mode] : []));
      if (allowing.length < modes.length) allowed.set(action, allowing.sort());
    }
    const documented = rows.flatMap(([action = '', , resource = '']) => {
      const [, list] = /only with `writeBack`: (.*)$/.exec(resource) ?? [];
      return list === undefined ? [] : [[codeIn(action)[0] ?? '', codeIn(list).sort()] as const];
    });
    expect(new Map(documented)).toEqual(allowed);
  });
});

test('docs/explanation/threat-model.md names tests that exist', () => {
  const named = read('docs/explanation/threat-model.md')
    .split('\n')
    .flatMap((row) => codeIn(row.split(' | ')[2] ?? ''))
    .filter((name) => /^(unit|contract|integration|simulation|fuzz)\//.test(name));
  expect(named.length).toBeGreaterThan(10);
  for (const name of named) expect(existsSync(join(root, `test/${name}.test.ts`)), name).toBe(true);
});

const pages = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'].concat(filesIn('docs', '.md'));

/** The anchors that GitHub makes of a page's headings. */
const anchorsOf = (page: string): string[] =>
  [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

test.each(pages)('%s links to pages and headings that exist', (page) => {
  for (const [, link = ''] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(https?|mailto):/.test(link)) continue;
    const [file = '', anchor] = link.split('#');
    const target = file === '' ? page : join(dirname(page), file);
    expect(existsSync(join(root, target)), `${page}: ${link}`).toBe(true);
    if (anchor !== undefined) expect(anchorsOf(target), `${page}: ${link}`).toContain(anchor);
  }
});

test('test/support/README.md lists each helper module', () => {
  const modules = filesIn('test/support').map((path) => basename(path, '.ts'));
  expect(namesIn(read('test/support/README.md')).sort()).toEqual(modules.sort());
});
