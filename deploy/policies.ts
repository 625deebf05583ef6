import * as v from 'valibot';
import { resourcesOf, type Template } from './template.ts';

/** Checks for least privilege: each statement names its actions and its resources. */

const oneOrMore = <const S extends v.GenericSchema>(schema: S) =>
  v.union([
    v.array(schema),
    v.pipe(
      schema,
      v.transform((one) => [one]),
    ),
  ]);

/** Strict, because `NotAction` and `NotResource` allow everything except what they name. */
const Statement = v.strictObject({
  Effect: v.literal('Allow'),
  Action: oneOrMore(v.string()),
  Resource: oneOrMore(v.unknown()),
  Condition: v.optional(v.record(v.string(), v.unknown())),
});
export type Statement = v.InferOutput<typeof Statement>;

const Policy = v.object({
  PolicyName: v.string(),
  PolicyDocument: v.object({ Version: v.literal('2012-10-17'), Statement: v.array(Statement) }),
});
const Role = v.looseObject({
  Policies: v.optional(v.array(Policy), []),
  ManagedPolicyArns: v.optional(v.array(v.unknown()), []),
});

/** Actions that support no resources. https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html */
const ACTIONS_WITHOUT_RESOURCES = new Set([
  'logs:CreateLogDelivery',
  'logs:GetLogDelivery',
  'logs:UpdateLogDelivery',
  'logs:DeleteLogDelivery',
  'logs:ListLogDeliveries',
  'logs:PutResourcePolicy',
  'logs:DescribeResourcePolicies',
  'logs:DescribeLogGroups',
  'xray:PutTraceSegments',
  'xray:PutTelemetryRecords',
  'xray:GetSamplingRules',
  'xray:GetSamplingTargets',
]);

/** The statements of each role. @throws {v.ValiError} when a role has another form than `Role` */
export function statementsOf(template: Template): Record<string, Statement[]> {
  const roles = resourcesOf(template, 'AWS::IAM::Role').map(([name, { Properties }]) => {
    const { Policies } = v.parse(Role, Properties);
    return [name, Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement)] as const;
  });
  return Object.fromEntries(roles);
}

/** The modes that change nothing of an object except tags, or tags and annotations. */
const UNCHANGING_MODES = {
  tags: { writes: 'tags', allowed: /^s3:(Get|List)|Tagging$/ },
  annotation: { writes: 'annotations and tags', allowed: /^s3:(Get|List)|(Tagging|Annotation)$/ },
} as const;

const WithMode = v.object({
  Environment: v.object({ Variables: v.object({ WRITE_BACK: v.picklist(['tags', 'annotation']) }) }),
});

/** With `WRITE_BACK` set to `tags` or `annotation`, returns the actions that could change more of an object. */
export function checkWriteBackMode(template: Template): string[] {
  const [mode] = resourcesOf(template, 'AWS::Lambda::Function').flatMap(([, { Properties }]) =>
    v.is(WithMode, Properties) ? [Properties.Environment.Variables.WRITE_BACK] : [],
  );
  if (mode === undefined) return [];
  const { writes, allowed } = UNCHANGING_MODES[mode];
  return Object.entries(statementsOf(template)).flatMap(([role, statements]) =>
    statements
      .flatMap(({ Action }) => Action)
      .filter((action) => action.startsWith('s3:') && !allowed.test(action))
      .map((action) => `${role}: expected only ${writes} to be written (writeBack=${mode}), got ${action}`),
  );
}

/** Returns what allows more than it names. Only roles may hold policies, so that none is overlooked. */
export function checkPolicies(template: Template): string[] {
  const outsideRoles = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy', 'AWS::IAM::RolePolicy'].flatMap(
    (type) =>
      resourcesOf(template, type).map(
        ([name]) => `${name}: expected policies inside their roles, got ${type}`,
      ),
  );
  const inRoles = resourcesOf(template, 'AWS::IAM::Role').flatMap(([name, { Properties }]) => {
    const role = v.safeParse(Role, Properties);
    if (!role.success) return [`${name}: ${v.summarize(role.issues)}`];
    const { Policies, ManagedPolicyArns } = role.output;
    return [
      ...ManagedPolicyArns.map((arn) => `${name}: expected no managed policy, got ${JSON.stringify(arn)}`),
      ...Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
        .flatMap(checkStatement)
        .map((problem) => `${name}: ${problem}`),
    ];
  });
  return [...outsideRoles, ...inRoles];
}

function checkStatement({ Action, Resource, Condition }: Statement): string[] {
  const wildcards = Action.filter((action) => action.includes('*')).map(
    (action) => `${action}: name the actions`,
  );
  const unnamed = Resource.map(toArn).flatMap((arn) => {
    if (arn === '*') {
      const narrow = Action.filter((action) => !ACTIONS_WITHOUT_RESOURCES.has(action));
      return narrow.map((action) => `${action} on *: name the resources`);
    }
    return isNamed(arn) || Condition ? [] : [`${Action} on ${arn}: name the resource, or set a condition`];
  });
  return [...wildcards, ...unnamed];
}

const Sub = v.object({ 'Fn::Sub': v.string() });
const Reference = v.union([
  v.object({ Ref: v.string() }),
  v.object({ 'Fn::GetAtt': v.tuple([v.string(), v.string()]) }),
]);

/** A resource's ARN, with `x` for what only CloudFormation knows. An unknown form counts as `*`. */
function toArn(resource: unknown): string {
  if (typeof resource === 'string') return resource;
  if (v.is(Sub, resource)) return resource['Fn::Sub'].replace(/\$\{[^}]+\}/g, 'x');
  return v.is(Reference, resource) ? 'arn:x:x:x:x:x/x' : '*';
}

/** Whether wildcards appear only below one named resource: `bucket/*`, `execution:NAME:*`. */
function isNamed(arn: string): boolean {
  const [, , service = '', region = '', account = '', ...rest] = arn.split(':');
  if (rest.length === 0 || `${service}${region}${account}`.includes('*')) return false;
  const parts = rest.join(':').split(/[:/]/);
  const wildcard = parts.findIndex((part) => part.includes('*'));
  // An S3 ARN begins with the bucket; others begin with the resource type, then the name.
  return wildcard < 0 || wildcard >= (service === 's3' ? 1 : 2);
}
