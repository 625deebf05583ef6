import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Engine, RegoEngine, TemplateFile } from '@aws/cloudformation-validate';
import validateMachine from 'asl-validator';
import * as v from 'valibot';
import { uploadSettings } from '../lib/config.ts';
import { errorMessage } from '../lib/errors.ts';
import { policyFaults } from './policies.ts';
import { resourcesOf, type Template } from './template.ts';

/** What a package has to pass before it may be deployed. Each gate answers what is wrong: nothing, when it is open. */

/** A function's code; its source map lies beside it. `bytes`: of the code alone. */
export type Bundle = Readonly<{ name: string; path: string; bytes: number }>;

export type Package = Readonly<{ templatePath: string; template: Template; bundles: readonly Bundle[] }>;

const GATES: Readonly<Record<string, (packaged: Package) => string[]>> = {
  template: ({ templatePath }) => templateFaults(templatePath),
  'state machine': ({ template }) => machineFaults(template),
  policies: ({ template }) => policyFaults(template),
  settings: ({ template }) => settingFaults(template),
  bundles: ({ bundles }) => sizeFaults(bundles),
};

/** A line for each gate; `shut` names those that nothing may pass. */
export function runChecks(packaged: Package): { lines: string[]; shut: string[] } {
  const found = Object.entries(GATES).map(([gate, faultsOf]) => ({ gate, faults: faultsOf(packaged) }));
  return {
    lines: found.map(({ gate, faults }) =>
      faults.length === 0 ? `✔ ${gate}` : `✘ ${gate}: ${faults.join('; ')}`,
    ),
    shut: found.filter(({ faults }) => faults.length > 0).map(({ gate }) => gate),
  };
}

let engine: Engine | undefined;

/** Against the schemas of all resource types and the rules of cfn-lint; without network. */
export function templateFaults(path: string): string[] {
  engine ??= new RegoEngine(); // a second's work
  const template = new TemplateFile(path);
  const { status, diagnostics } = engine.validateStandard(template, { severityLevel: 'ERROR' });
  const faults = diagnostics.map(({ ruleId, entity, propertyPath, message }) =>
    [entity?.logicalId, propertyPath, `${message} (${ruleId})`].filter(Boolean).join(' '),
  );
  return status === 'OK' || faults.length > 0 ? faults : [`${path}: it could not be analysed (${status})`];
}

const Machine = v.object({
  DefinitionString: v.pipe(v.string(), v.parseJson()),
  DefinitionSubstitutions: v.record(
    v.string(),
    v.object({ 'Fn::GetAtt': v.tuple([v.string(), v.literal('Arn')]) }),
  ),
});

/** The state machines as they are deployed: each in Amazon's states language, each of its functions one of the stack's. */
export function machineFaults(template: Template): string[] {
  const machines = resourcesOf(template, 'AWS::StepFunctions::StateMachine');
  if (machines.length === 0) return ['there is no state machine'];
  return machines.flatMap(([name, { Properties }]) => {
    const read = v.safeParse(Machine, Properties);
    if (!read.success) return [`${name}: ${v.summarize(read.issues)}`];
    const { DefinitionString, DefinitionSubstitutions } = read.output;
    const functions = new Map(
      Object.entries(DefinitionSubstitutions).map(
        ([
          word,
          {
            'Fn::GetAtt': [logicalId],
          },
        ]) => [word, logicalId],
      ),
    );
    const faults: string[] = [];
    const definition = JSON.stringify(DefinitionString).replace(/\$\{(\w+)\}/g, (_, word: string) => {
      const logicalId = functions.get(word) ?? '';
      const isThere = template.Resources[logicalId]?.Type === 'AWS::Lambda::Function';
      if (!isThere) faults.push(`${name}: \${${word}} is no function of the stack`);
      return `arn:aws:lambda:us-east-1:000000000000:function:${logicalId || word}`;
    });
    // A clone, since the validator writes into what it is given.
    const { isValid, errorsText } = validateMachine(JSON.parse(definition));
    return isValid ? faults : [...faults, `${name}: ${errorsText()}`];
  });
}

const Configured = v.object({
  Environment: v.optional(v.object({ Variables: v.record(v.string(), v.unknown()) }), { Variables: {} }),
});

/** The functions' settings as the functions themselves read them, but for those that CloudFormation fills in. */
export function settingFaults(template: Template): string[] {
  const faults = resourcesOf(template, 'AWS::Lambda::Function').flatMap(([, { Properties }]) => {
    const { Variables } = v.parse(Configured, Properties).Environment;
    const env: Record<string, string> = {};
    for (const [name, value] of Object.entries(Variables)) if (typeof value === 'string') env[name] = value;
    try {
      uploadSettings(env);
      return [];
    } catch (error) {
      return [errorMessage(error)];
    }
  });
  return [...new Set(faults)]; // the steps have the same
}

/** What is packaged in `dir`, by name. @throws {Error} where there is no such folder */
export async function bundlesIn(dir: string): Promise<Bundle[]> {
  const files = (await readdir(dir)).filter((file) => file.endsWith('.js')).sort();
  return Promise.all(
    files.map(async (file) => {
      const path = join(dir, file);
      return { name: basename(file, '.js'), path, bytes: (await stat(path)).size };
    }),
  );
}

/** Code that Lambda reads and compiles at each cold start: bytes. */
export const MAX_BUNDLE_BYTES = 400_000;

export const sizeFaults = (bundles: readonly Bundle[]): string[] =>
  bundles
    .filter(({ bytes }) => bytes > MAX_BUNDLE_BYTES)
    .map(
      ({ name, bytes }) =>
        `${name} is ${bytes} bytes, at most ${MAX_BUNDLE_BYTES} may be: npx esbuild --analyze tells of what`,
    );
