import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { FUNCTION_GB } from '../bench/cost.ts';
import { HANDLER_FLAGS } from '../bench/flags.ts';
import type { CommandDefinition } from '../cli/args.ts';
import { usage } from '../cli/usage.ts';
import { DEPLOY, PACKAGE, REMOVE } from '../deploy/args.ts';
import { stackParameters } from '../deploy/params.ts';
import { stateMachineJson } from '../deploy/state-machine.ts';
import { METRICS, NAMESPACE } from '../handlers/metrics.ts';
import * as errors from '../lib/errors.ts';
import { START } from '../local/cli/args.ts';
import { VOD } from '../local/vod/args.ts';
import { BACKFILL, ENABLE_EVENTS, INVOKE, REDRIVE, REPLAY } from '../operate/args.ts';

/** Names that stand in several files are the same in all of them, and files know only what they may. */

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

type State = { Type: string; Resource?: string; Next?: string; Default?: string } & Record<string, unknown>;
type States = Record<string, State>;

const machine: { StartAt: string; States: States } = JSON.parse(stateMachineJson());

/** The states of the machine and of the maps in it. */
function allStates(states: States): [string, State][] {
  return Object.entries(states).flatMap(([name, state]) => {
    const inner = state.ItemProcessor as { States: States } | undefined;
    return [[name, state] as [string, State], ...(inner ? allStates(inner.States) : [])];
  });
}

const tasks = allStates(machine.States).filter(([, { Type }]) => Type === 'Task');
const handlers = sources('handlers').map((path) => basename(path, '.ts'));

/** The handler that a state is named after: the last word of `VideoCover`. */
const handlerOf = (state: string): string => /[A-Z][a-z]+$/.exec(state)?.[0] ?? '';

test('each task state is named as its handler, and runs it', () => {
  expect(tasks.length).toBeGreaterThan(0);
  for (const [name, { Resource }] of tasks) {
    expect(handlers).toContain(handlerOf(name).toLowerCase());
    expect(Resource).toBe(`\${${handlerOf(name)}FunctionArn}`);
  }
});

test('each handler is a task state, but for the trigger before the machine and the wrapping', () => {
  const named = new Set(tasks.map(([name]) => handlerOf(name).toLowerCase()));
  expect(
    handlers.filter((name) => !['create-handler', 'create-step', 'metrics', 'trigger'].includes(name)).sort(),
  ).toEqual([...named].sort());
});

const thrown = Object.values(errors).filter(
  (value) => typeof value === 'function' && value.prototype instanceof Error,
);

test('each error is matched by the name of its class, also where a bundle is minified', () => {
  expect(thrown.length).toBeGreaterThan(10);
  for (const type of thrown) {
    const error: unknown = Reflect.construct(type, ['x']);
    expect(error).toMatchObject({ name: type.name });
  }
});

test('what the state machine matches is thrown by the chain or by the engine', () => {
  const own = new Set(thrown.map(({ name }) => name));
  const matched = tasks.flatMap(([, state]) =>
    (state.Retry as { ErrorEquals: string[] }[]).flatMap((r) => r.ErrorEquals),
  );
  expect(matched.length).toBeGreaterThan(0);
  for (const name of matched) {
    if (!/^(Lambda|States|Sandbox)\./.test(name)) expect(own).toContain(name);
  }
});

test('what fails is a task, and there is no Catch: a redrive enters the state that failed', () => {
  expect(stateMachineJson()).not.toMatch(/"Fail"/);
  // But for the cover of a video, which is uploaded whatever becomes of its cover.
  expect(tasks.filter(([, state]) => 'Catch' in state).map(([name]) => name)).toEqual(['VideoCover']);
});

test('a task is tried again in the same way wherever it stands', () => {
  const ways = new Set(tasks.map(([, { Retry }]) => JSON.stringify(Retry)));
  expect(ways.size).toBe(1);
});

const importsOf = (path: string): string[] =>
  [...read(path).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name = '']) =>
    name.startsWith('.') ? relative(root, resolve(root, dirname(path), name)) : name,
  );

const ours = (path: string): string[] =>
  importsOf(path).filter((name) => /^(handlers|lib|local|operate|deploy|bench|test)\//.test(name));

test('nothing deployed knows the local run', () => {
  for (const path of [...sources('lib'), ...sources('handlers')]) {
    expect(
      ours(path)
        .filter((name) => /^(local|operate|deploy|bench|test)\//.test(name))
        .map((name) => `${path} -> ${name}`),
    ).toEqual([]);
  }
  for (const path of sources('lib')) {
    expect(
      ours(path)
        .filter((name) => name.startsWith('handlers/'))
        .map((name) => `${path} -> ${name}`),
    ).toEqual([]);
  }
});

test('the operators’ commands know the chain’s rooms, and of the local run what is common to command lines', () => {
  const allowed = /^(operate|lib|cli)\//;
  for (const path of sources('operate')) {
    expect(
      ours(path)
        .filter((name) => !allowed.test(name))
        .map((name) => `${path} -> ${name}`),
    ).toEqual([]);
  }
});

test('the pure rooms of lib import only job and errors', () => {
  const pure = [
    'lib/upload/plan.ts',
    'lib/vod/signature.ts',
    'lib/upload/media-type.ts',
    'lib/deadline.ts',
    'lib/trigger/events.ts',
    'lib/vod/responses.ts',
  ];
  const allowed = new Set(['lib/schemas.ts', 'lib/errors.ts']);
  for (const path of pure) {
    expect(
      ours(path)
        .filter((name) => !allowed.has(name))
        .map((name) => `${path} -> ${name}`),
    ).toEqual([]);
  }
});

const users = (paths: string[], module: string): string[] =>
  paths.filter((path) => importsOf(path).includes(module)).sort();

test('each outside system has one adapter', () => {
  const deployed = [...sources('lib'), ...sources('handlers')];
  // services.ts passes the clients on and calls nothing.
  expect(users(deployed, '@aws-sdk/client-s3')).toEqual(
    [
      'covers/read-image',
      'covers/related-objects',
      's3/client',
      's3/copy-in-place',
      's3/head-object',
      's3/read-range',
      's3/request',
      's3/tags',
      'steps/services',
      'write-back/write-back',
      'write-back/write-tags',
    ].map((name) => `lib/${name}.ts`),
  );
  expect(users(deployed, '@aws-sdk/client-sfn')).toEqual(['lib/trigger/executions.ts']);
  const spoken = (path: string): string[] => deployed.filter((name) => ours(name).includes(path)).sort();
  expect(spoken('lib/aws/json-client.ts')).toEqual([
    'lib/aws/parameter-store.ts',
    'lib/config.ts',
    'lib/quota/counter.ts',
  ]);
  expect(spoken('lib/quota/counter.ts')).toEqual(['lib/quota/quota.ts', 'lib/quota/rate-limiter.ts']);
  expect(users(deployed, '@aws-lambda-powertools/metrics')).toEqual(['handlers/metrics.ts']);
  expect(users(deployed, '@smithy/node-http-handler')).toEqual([
    'lib/aws/json-client.ts',
    'lib/s3/client.ts',
    'lib/vod/transport.ts',
  ]);
});

test('the wire is known to lib/vod alone', () => {
  for (const path of [...sources('lib'), ...sources('handlers')].filter(
    (name) => !name.startsWith('lib/vod/'),
  )) {
    const wire = ours(path).filter((name) => name.startsWith('lib/vod/') && name !== 'lib/vod/client.ts');
    expect(wire.map((name) => `${path} -> ${name}`)).toEqual([]);
  }
});

test('each setting that the code reads stands in docs/reference/settings.md, and the other way round', () => {
  const code = [...sources('handlers'), ...sources('lib'), ...sources('local')].map(read).join('\n');
  const inPage = new Set(
    [...read('docs/reference/settings.md').matchAll(/^\| `([A-Z][A-Z0-9_]+)`/gm)].map(
      ([, name = '']) => name,
    ),
  );
  expect(inPage.size).toBeGreaterThan(8);
  for (const name of inPage) {
    const metadata = name.toLowerCase().replaceAll('_', '-'); // VOD_CLASS_ID is read as the option vod-class-id
    const base = name.replace(/_PARAMETER$/, '');
    expect(code.includes(name) || code.includes(`'${metadata}'`) || code.includes(`'${base}'`), name).toBe(
      true,
    );
  }
  const inConfig = [
    ...read('lib/config.ts').matchAll(/\b((?:VOD|S3|COPY|WRITE|QUOTA|AWS)_[A-Z0-9_]+|STATE_MACHINE_ARN)\b/g),
  ].map(([, n = '']) => n);
  for (const name of new Set(inConfig)) expect(inPage, name).toContain(name);
});

const COMMANDS = [START, VOD, INVOKE, REPLAY, REDRIVE, BACKFILL, ENABLE_EVENTS, PACKAGE, DEPLOY, REMOVE];

test.each(COMMANDS.map((command): [string, CommandDefinition] => [command.name, command]))(
  '%s is a script, its usage text is 80 columns wide, and docs/reference/cli.md lists its options',
  (name, command) => {
    for (const line of usage(command).split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    const scripts: Record<string, string> = JSON.parse(read('package.json')).scripts;
    const script = /[a-z-]+$/.exec(name)?.[0] ?? '';
    expect(Object.keys(scripts)).toContain(script);
    const page = read('docs/reference/cli.md');
    expect(page).toContain(script);
    for (const option of Object.keys(command.options)) expect(page).toContain(`\`--${option}`);
  },
);

const Observability = v.object({
  Resources: v.intersect([
    v.object({
      Dashboard: v.object({ Properties: v.object({ DashboardBody: v.object({ 'Fn::Sub': v.string() }) }) }),
    }),
    v.record(v.string(), v.unknown()),
  ]),
});
const Line = v.array(v.union([v.string(), v.object({ expression: v.optional(v.string(), '') })]));
const Dashboard = v.object({
  widgets: v.array(v.object({ properties: v.object({ metrics: v.optional(v.array(Line), []) }) })),
});
const { Resources: watching } = v.parse(Observability, parseYaml(read('deploy/observability.yml')));
const board = watching.Dashboard.Properties.DashboardBody['Fn::Sub'];
const named = (text: string): string[] => [...text.matchAll(/`([A-Za-z]+)`/g)].map(([, name = '']) => name);

test('the metrics that are written are those that the dashboard shows and docs/reference/metrics.md explains', () => {
  const lines = v.parse(Dashboard, JSON.parse(board)).widgets.flatMap(({ properties }) => properties.metrics);
  const shown = lines
    .flat()
    .flatMap((part) =>
      typeof part === 'string' || !part.expression.includes('SEARCH') ? [] : [part.expression],
    )
    .map((search) => {
      expect(search).toContain(`SEARCH('{${NAMESPACE},service,stage,step} stage="\${Stage}" MetricName="`);
      return /MetricName="(\w+)"/.exec(search)?.[1];
    });
  expect([...new Set(shown)].sort()).toEqual(Object.keys(METRICS).sort());

  const explained = read('docs/reference/metrics.md')
    .split('\n')
    .map((line) => /^\| (.+?) \| (Count|Bytes|Seconds) \|/.exec(line) ?? [])
    .flatMap(([, names = '', unit]) => named(names).map((name) => [name, unit]));
  expect(Object.fromEntries(explained)).toEqual(METRICS);
});

test('what is watched of AWS is there, and each alarm is shown and explained', () => {
  const functions = [...read('deploy/observability.yml').matchAll(/\b([A-Z][a-z]+)LambdaFunction\b/g)];
  const watched = new Set(functions.map(([, name = '']) => name.toLowerCase()));
  expect(watched).toEqual(
    new Set([
      ...handlers.filter((name) => !['create-handler', 'create-step', 'metrics'].includes(name)),
      'cover',
    ]),
  );
  const alarms = Object.keys(watching).filter((name) => name.endsWith('Alarm'));
  expect(alarms.length).toBeGreaterThan(3);
  for (const name of alarms) {
    expect(named(read('docs/reference/metrics.md'))).toContain(name);
    expect(board).toContain(`\${${name}.Arn}`);
  }
});

test('the tests that the threat model names are there', () => {
  const rows = read('docs/explanation/threat-model.md').split('\n');
  const shown = rows.flatMap((row) => [...(row.split(' | ')[2] ?? '').matchAll(/`([a-z0-9/-]+)`/g)]);
  expect(shown.length).toBeGreaterThan(10);
  const tests = sources('test');
  for (const [, name] of shown) expect(tests).toContain(`test/${name}.test.ts`);
});

test('what each error means to an operator stands in their page', () => {
  const page = read('docs/reference/errors.md');
  for (const { name } of thrown) expect(page).toContain(`\`${name}\``);
});

test('the lock file carries no download addresses', () => {
  expect(read('package-lock.json')).not.toContain('"resolved"');
});

test('each parameter of the stack stands in docs/reference/settings.md, and the other way round', () => {
  const inStack = Object.keys(stackParameters());
  const [, deployed = ''] = /\n## Stack parameters\n([\s\S]+)/.exec(read('docs/reference/settings.md')) ?? [];
  const inPage = [...deployed.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].flatMap(([, names = '']) =>
    names.replaceAll('`', '').split(', '),
  );
  expect(inStack.length).toBeGreaterThan(20);
  expect(inPage.sort()).toEqual(inStack.sort());
});

test('the bench measures what is deployed', () => {
  const stack = read('serverless.yml');
  expect(stack).toContain(`nodeOptions: ${HANDLER_FLAGS.join(' ')}\n`);
  expect(stack).toMatch(new RegExp(`^    memory: ${1024 * FUNCTION_GB}$`, 'm'));
});
