import { basename, dirname, relative, resolve } from 'node:path';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { stateMachineJson } from '../deploy/state-machine.ts';
import * as errors from '../lib/errors.ts';
import { ERROR_NAMES, filesIn, read, root } from './support/sources.ts';

/** Biome's noImportCycles finds cycles. These tests hold the direction of imports, and the names that several files share. */

/** The modules that a source file imports: paths from the project's root, or package names. */
const importsOf = (path: string): string[] =>
  [...read(path).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name = '']) =>
    name.startsWith('.') ? relative(root, resolve(root, dirname(path), name)) : name,
  );

/** The imports of `paths` that `isAllowed` rejects, as `importer -> imported`. */
const violations = (paths: string[], isAllowed: (imported: string, importer: string) => boolean): string[] =>
  paths.flatMap((path) =>
    importsOf(path)
      .filter((imported) => imported.endsWith('.ts') && !isAllowed(imported, path))
      .map((imported) => `${path} -> ${imported}`),
  );

describe('imports', () => {
  /** The layers of `lib`, the lowest first. A module imports from its own layer and from those below. */
  const LAYERS = [
    ['errors'],
    ['schemas'],
    ['invocation'],
    ['aws', 'upload'],
    ['config'],
    ['quota'],
    ['s3'],
    ['cos'],
    ['vod'],
    ['write-back'],
    ['covers'],
    ['trigger'],
    ['steps'],
  ];
  const layerOf = (path: string): number =>
    LAYERS.findIndex((names) => names.includes(path.split('/')[1]?.replace(/\.ts$/, '') ?? ''));

  test('in lib never point upwards', () => {
    const unknown = filesIn('lib').filter((path) => layerOf(path) < 0);
    expect(unknown).toEqual([]);
    expect(
      violations(
        filesIn('lib'),
        (imported, importer) =>
          imported.startsWith('lib/') &&
          (imported.split('/')[1] === importer.split('/')[1] || layerOf(imported) < layerOf(importer)),
      ),
    ).toEqual([]);
  });

  test.each([
    ['handlers', /^(handlers|lib)\//],
    ['cli', /^(cli\/|lib\/errors\.ts)/],
    ['operate', /^(operate|cli|lib)\//],
    ['local', /^(local|cli|handlers|lib)\/|^deploy\/(defaults|paths|state-machine)\.ts/],
    ['deploy', /^(deploy|cli)\/|^lib\/(config|errors)\.ts/],
    ['tools', /^tools\//],
  ])('of %s stay within %s', (folder, allowed) => {
    expect(violations(filesIn(folder), (imported) => allowed.test(imported))).toEqual([]);
  });

  const deployed = [...filesIn('lib'), ...filesIn('handlers')];
  test.each([
    ['@aws-sdk/client-s3', /^lib\/(s3|covers|write-back)\/|^lib\/steps\/services\.ts/],
    ['@aws-sdk/client-sfn', /^lib\/trigger\/executions\.ts/],
    ['@smithy/node-http-handler', /^lib\/(aws\/json-client|invocation\/http|s3\/client)\.ts/],
    ['@aws-sdk/xml-builder', /^lib\/cos\/responses\.ts/],
    ['@aws-lambda-powertools/metrics', /^handlers\/metrics\.ts/],
    ['lib/aws/json-client.ts', /^lib\/(config|aws\/parameter-store|quota\/[\w-]+|trigger\/queue)\.ts/],
  ])('of %s come only from its adapter', (module, adapters) => {
    const importers = deployed.filter((path) => importsOf(path).includes(module));
    expect(importers.length).toBeGreaterThan(0);
    expect(importers.filter((path) => !adapters.test(path))).toEqual([]);
  });
});

const State = v.looseObject({ Type: v.string(), Resource: v.optional(v.string()) });
type State = v.InferOutput<typeof State>;
const States = v.record(v.string(), State);

/** All states, those inside Map states too. */
function allStates(states: unknown): [name: string, State][] {
  return Object.entries(v.parse(States, states)).flatMap(([name, state]) => {
    const inner = v.safeParse(v.object({ ItemProcessor: v.object({ States }) }), state);
    return [
      [name, state] as [string, State],
      ...(inner.success ? allStates(inner.output.ItemProcessor.States) : []),
    ];
  });
}

describe('the state machine', () => {
  const tasks = allStates(JSON.parse(stateMachineJson()).States).filter(([, { Type }]) => Type === 'Task');
  /** The handler that a state is named after: the last word of `VideoCover`. */
  const handlerOf = (state: string): string => /[A-Z][a-z]+$/.exec(state)?.[0] ?? '';

  test('runs in each task state the handler that the state is named after', () => {
    for (const [name, { Resource }] of tasks) expect(Resource).toBe(`\${${handlerOf(name)}FunctionArn}`);
    const handlers = filesIn('handlers').map((path) => basename(path, '.ts'));
    const steps = new Set(tasks.map(([name]) => handlerOf(name).toLowerCase()));
    expect(handlers.sort()).toEqual([...steps, 'create-handler', 'create-step', 'metrics', 'trigger'].sort());
  });

  test('retries every task in the same way, on errors that lib, Lambda, or Step Functions throw', () => {
    const Retry = v.array(v.object({ ErrorEquals: v.array(v.string()) }));
    const [first, ...others] = tasks.map(([, state]) => v.parse(Retry, state.Retry));
    for (const retry of others) expect(retry).toEqual(first);
    const own = (first ?? [])
      .flatMap(({ ErrorEquals }) => ErrorEquals)
      .filter((name) => !/^(Lambda|Runtime|States|Sandbox)\./.test(name));
    expect(own.length).toBeGreaterThan(4);
    expect(ERROR_NAMES).toEqual(expect.arrayContaining(own));
  });

  test('fails in a task, so that a redrive enters that task again; only a video’s cover is caught', () => {
    expect(stateMachineJson()).not.toContain('"Fail"');
    expect(tasks.filter(([, state]) => 'Catch' in state).map(([name]) => name)).toEqual(['VideoCover']);
  });

  test('matches error names that a minified bundle keeps', () => {
    for (const Class of Object.values(errors)) {
      if (typeof Class !== 'function' || !(Class.prototype instanceof Error)) continue;
      expect(Reflect.construct(Class, ['x'])).toMatchObject({ name: Class.name });
    }
  });
});

test('the lock file carries no download addresses', () => {
  expect(read('package-lock.json')).not.toContain('"resolved"');
});
