import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Engine, RegoEngine, TemplateFile } from '@aws/cloudformation-validate';
import validateStateMachine from 'asl-validator';
import * as v from 'valibot';
import { uploadSettings } from '../lib/config.ts';
import { errorMessage } from '../lib/errors.ts';
import { checkPolicies, checkWriteBackMode } from './policies.ts';
import { resourcesOf, type Template } from './template.ts';

/** The checks that a package must pass before it is deployed. Each check returns its problems. */

/** A function's code, without its source map. */
export type Bundle = Readonly<{ name: string; path: string; bytes: number }>;

export type Package = Readonly<{ templatePath: string; template: Template; bundles: readonly Bundle[] }>;

const CHECKS: Readonly<Record<string, (packaged: Package) => string[]>> = {
  template: ({ templatePath }) => checkTemplate(templatePath),
  'state machine': ({ template }) => checkStateMachines(template),
  policies: ({ template }) => [...checkPolicies(template), ...checkWriteBackMode(template)],
  settings: ({ template }) => checkSettings(template),
  bundles: ({ bundles }) => checkBundles(bundles),
};

/** Runs all checks. Returns one line per check, and the names of the checks that failed. */
export function runChecks(packaged: Package): { lines: string[]; failed: string[] } {
  const results = Object.entries(CHECKS).map(([name, check]) => ({ name, problems: check(packaged) }));
  return {
    lines: results.map(({ name, problems }) =>
      problems.length === 0 ? `✔ ${name}` : `✘ ${name}: ${problems.join('; ')}`,
    ),
    failed: results.filter(({ problems }) => problems.length > 0).map(({ name }) => name),
  };
}

let engine: Engine | undefined;

/** Validates the template offline against the schemas of all resource types and the rules of cfn-lint. */
export function checkTemplate(path: string): string[] {
  engine ??= new RegoEngine(); // takes a second to load
  const { status, diagnostics } = engine.validateStandard(new TemplateFile(path), { severityLevel: 'ERROR' });
  const problems = diagnostics.map(({ ruleId, entity, propertyPath, message }) =>
    [entity?.logicalId, propertyPath, `${message} (${ruleId})`].filter(Boolean).join(' '),
  );
  return status === 'OK' || problems.length > 0 ? problems : [`${path}: the analysis ended with ${status}`];
}

const StateMachine = v.object({
  DefinitionString: v.pipe(v.string(), v.parseJson()),
  DefinitionSubstitutions: v.record(
    v.string(),
    v.object({ 'Fn::GetAtt': v.tuple([v.string(), v.literal('Arn')]) }),
  ),
});

/** Validates each state machine's definition. Each of its placeholders must name a function of the stack. */
export function checkStateMachines(template: Template): string[] {
  const machines = resourcesOf(template, 'AWS::StepFunctions::StateMachine');
  if (machines.length === 0) return ['expected a state machine, found none'];
  return machines.flatMap(([name, { Properties }]) => {
    const parsed = v.safeParse(StateMachine, Properties);
    if (!parsed.success) return [`${name}: ${v.summarize(parsed.issues)}`];
    const { DefinitionString, DefinitionSubstitutions: substitutions } = parsed.output;
    const problems: string[] = [];
    const definition = JSON.stringify(DefinitionString).replace(/\$\{(\w+)\}/g, (_, placeholder: string) => {
      const logicalId = substitutions[placeholder]?.['Fn::GetAtt'][0] ?? '';
      if (template.Resources[logicalId]?.Type !== 'AWS::Lambda::Function')
        problems.push(`${name}: expected \${${placeholder}} to be a function of the stack`);
      return `arn:aws:lambda:us-east-1:000000000000:function:${logicalId || placeholder}`;
    });
    // The validator modifies its input, so it gets a copy.
    const { isValid, errorsText } = validateStateMachine(JSON.parse(definition));
    return isValid ? problems : [...problems, `${name}: ${errorsText()}`];
  });
}

/** Only CloudFormation knows the values that are not strings. */
const Variables = v.record(v.string(), v.fallback(v.optional(v.string()), undefined));
const LambdaFunction = v.object({ Environment: v.optional(v.object({ Variables }), { Variables: {} }) });

/** Parses the functions' settings as the functions do. */
export function checkSettings(template: Template): string[] {
  const problems = resourcesOf(template, 'AWS::Lambda::Function').flatMap(([, { Properties }]) => {
    try {
      uploadSettings(v.parse(LambdaFunction, Properties).Environment.Variables);
      return [];
    } catch (error) {
      return [errorMessage(error)];
    }
  });
  return [...new Set(problems)]; // all steps share one environment
}

/** The bundles in `dir`, by name. @throws {Error} when there is no such folder */
export const readBundles = (dir: string): Bundle[] =>
  readdirSync(dir)
    .filter((file) => file.endsWith('.js'))
    .sort()
    .map((file) => join(dir, file))
    .map((path) => ({ name: basename(path, '.js'), path, bytes: statSync(path).size }));

/** Lambda reads and compiles a function's code at each cold start. */
export const MAX_BUNDLE_BYTES = 500_000;

export const checkBundles = (bundles: readonly Bundle[]): string[] =>
  bundles
    .filter(({ bytes }) => bytes > MAX_BUNDLE_BYTES)
    .map(
      ({ name, bytes }) =>
        `${name}: expected at most ${MAX_BUNDLE_BYTES} bytes, got ${bytes}. Run npx esbuild --analyze to see what it holds`,
    );
