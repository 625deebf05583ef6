import * as v from 'valibot';
import { resourcesOf, type Template } from './template.ts';

/** Least privilege, held: nobody is allowed more than what is named. */

const some = <const S extends v.GenericSchema>(schema: S) =>
  v.pipe(
    v.union([
      v.array(schema),
      v.pipe(
        schema,
        v.transform((one) => [one]),
      ),
    ]),
  );

/** Strict: `NotAction` and `NotResource` allow all but what is named. */
const Statement = v.strictObject({
  Effect: v.literal('Allow'),
  Action: some(v.string()),
  Resource: some(v.unknown()),
  Condition: v.optional(v.record(v.string(), v.unknown())),
});
const Policy = v.object({
  PolicyName: v.string(),
  PolicyDocument: v.object({ Version: v.literal('2012-10-17'), Statement: v.array(Statement) }),
});
const Role = v.looseObject({
  Policies: v.optional(v.array(Policy), []),
  ManagedPolicyArns: v.optional(v.array(v.unknown()), []),
});
export type Statement = v.InferOutput<typeof Statement>;

/** What AWS lets nobody narrow to a resource. https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html */
const WITHOUT_RESOURCES = new Set([
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

/** The statements of each role. @throws {Error} naming the role that is not written as it is here */
export function statementsOf(template: Template): Record<string, Statement[]> {
  const roles = resourcesOf(template, 'AWS::IAM::Role').map(([name, { Properties }]) => {
    const { Policies } = v.parse(Role, Properties);
    return [name, Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement)] as const;
  });
  return Object.fromEntries(roles);
}

/** What allows more than it names. Roles alone may hold policies, so that none is overlooked. */
export function policyFaults(template: Template): string[] {
  const elsewhere = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy', 'AWS::IAM::RolePolicy'].flatMap((type) =>
    resourcesOf(template, type).map(
      ([name]) => `${name}: a policy stands in its role, not in a resource of its own (${type})`,
    ),
  );
  const inRoles = resourcesOf(template, 'AWS::IAM::Role').flatMap(([name, { Properties }]) => {
    const role = v.safeParse(Role, Properties);
    if (!role.success) return [`${name}: ${v.summarize(role.issues)}`];
    const { Policies, ManagedPolicyArns } = role.output;
    return [
      ...ManagedPolicyArns.map(
        (arn) => `${name}: ${JSON.stringify(arn)}: name what it is needed for instead`,
      ),
      ...Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
        .flatMap(statementFaults)
        .map((fault) => `${name}: ${fault}`),
    ];
  });
  return [...elsewhere, ...inRoles];
}

function statementFaults({ Action, Resource, Condition }: Statement): string[] {
  const wide = Action.filter((action) => action.includes('*')).map((action) => `${action}: name the actions`);
  const boundless = Resource.map(textOf).flatMap((resource) => {
    if (resource === '*') {
      const narrow = Action.filter((action) => !WITHOUT_RESOURCES.has(action));
      return narrow.map((action) => `${action} on *: name the resources`);
    }
    return isNamed(resource) || Condition
      ? []
      : [`${Action} on ${resource}: name the resource, or set a condition`];
  });
  return [...wide, ...boundless];
}

/** A resource's ARN, with `x` for what is known only in AWS: a reference names one thing. */
function textOf(resource: unknown): string {
  const Sub = v.object({ 'Fn::Sub': v.string() });
  const Exact = v.union([
    v.object({ Ref: v.string() }),
    v.object({ 'Fn::GetAtt': v.tuple([v.string(), v.string()]) }),
  ]);
  if (typeof resource === 'string') return resource;
  if (v.is(Sub, resource)) return resource['Fn::Sub'].replace(/\$\{[^}]+\}/g, 'x');
  if (v.is(Exact, resource)) return 'arn:x:x:x:x:x/x';
  return '*'; // written in a way that is not understood here
}

/** No wildcard but for what lies inside of one thing: `bucket/*`, `execution:NAME:*`. */
function isNamed(arn: string): boolean {
  const [, , service = '', region = '', account = '', ...rest] = arn.split(':');
  if (rest.length === 0 || `${service}${region}${account}`.includes('*')) return false;
  const parts = rest.join(':').split(/[:/]/);
  const named = parts.findIndex((part) => part.includes('*'));
  // Of S3 the first part is the bucket; of others the first is the kind, and the second the name.
  return named < 0 || named >= (service === 's3' ? 1 : 2);
}
