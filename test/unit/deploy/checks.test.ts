import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  MAX_BUNDLE_BYTES,
  machineFaults,
  runChecks,
  settingFaults,
  sizeFaults,
  templateFaults,
} from '../../../deploy/checks.ts';
import { policyFaults } from '../../../deploy/policies.ts';
import { readTemplate, type Template } from '../../../deploy/template.ts';

/** Each gate is shut to what it is there for, and says what that is. */

async function written(content: unknown): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 's3-vod-template-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const path = join(dir, 'template.json');
  await writeFile(path, JSON.stringify(content));
  return path;
}

const named = (name: string, Type: string, Properties: Record<string, unknown>): Template => ({
  Resources: { [name]: { Type, Properties } },
});

describe('the template', () => {
  test('of resources as AWS knows them passes', async () => {
    expect(
      templateFaults(await written(named('Queue', 'AWS::SQS::Queue', { VisibilityTimeout: 30 }))),
    ).toEqual([]);
  });

  test.each([
    ['a property that is none', { VisibilityTimeOut: 30 }, /Queue.*VisibilityTimeOut/],
    ['a value of the wrong kind', { VisibilityTimeout: 'long' }, /Queue.*VisibilityTimeout/],
    ['a resource that is not there', { QueueName: { Ref: 'Nobody' } }, /Nobody/],
  ])('with %s does not', async (_, properties, fault) => {
    const faults = templateFaults(await written(named('Queue', 'AWS::SQS::Queue', properties)));
    expect(faults.join('\n')).toMatch(fault);
  });

  test('that is none is told apart', async () => {
    await expect(readTemplate(await written({ resources: {} }))).rejects.toThrow(/Resources/);
  });
});

describe('the settings', () => {
  const step = (Variables: Record<string, unknown>) => ({
    Type: 'AWS::Lambda::Function',
    Properties: { Environment: { Variables } },
  });

  test('that the functions can read pass, whatever CloudFormation fills in', () => {
    const Init = step({
      QUOTA_TABLE: { Ref: 'QuotaTable' },
      QUOTA_CALLS_PER_MINUTE: '100',
      VOD_HOST: '',
      WRITE_BACK: 'tags',
    });
    expect(settingFaults({ Resources: { Init, Bare: { ...Init, Properties: {} } } })).toEqual([]);
  });

  test.each([
    ['WRITE_BACK', 'nowhere'],
    ['QUOTA_CALLS_PER_MINUTE', '1'],
    ['VOD_ENDPOINT', 'vod2.qcloud.com'],
    ['VOD_CLASS_ID', 'films'],
  ])('with %s=%s do not, and are told once', (name, value) => {
    const faults = settingFaults({
      Resources: { Init: step({ [name]: value }), Part: step({ [name]: value }) },
    });
    expect(faults).toEqual([expect.stringContaining(`setting ${name}: `)]);
  });
});

describe('the state machine', () => {
  const task = { Type: 'Task', Resource: '${InitFunctionArn}', End: true };
  const stack = (
    definition: unknown,
    substitutions = { InitFunctionArn: { 'Fn::GetAtt': ['Init', 'Arn'] } },
  ) => ({
    Resources: {
      Init: { Type: 'AWS::Lambda::Function', Properties: {} },
      Machine: {
        Type: 'AWS::StepFunctions::StateMachine',
        Properties: {
          DefinitionString: JSON.stringify(definition),
          DefinitionSubstitutions: substitutions,
        },
      },
    },
  });

  test('in Amazon’s states language, with functions of the stack, passes', () => {
    expect(machineFaults(stack({ StartAt: 'Init', States: { Init: task } }))).toEqual([]);
  });

  test.each([
    [
      'a way to nowhere',
      { StartAt: 'Init', States: { Init: { ...task, End: undefined, Next: 'Deleted' } } },
      /Deleted/,
    ],
    ['a state of no kind', { StartAt: 'Init', States: { Init: { ...task, Type: 'Tsk' } } }, /Machine: /],
    [
      'a function that is not there',
      { StartAt: 'Init', States: { Init: { ...task, Resource: '${PartFunctionArn}' } } },
      /\$\{PartFunctionArn\} is no function of the stack/,
    ],
  ])('with %s does not', (_, definition, fault) => {
    expect(machineFaults(stack(definition)).join('\n')).toMatch(fault);
  });

  test('that is missing, or no JSON, or whose function is another kind of thing, does not', () => {
    expect(machineFaults({ Resources: {} })).toEqual(['there is no state machine']);
    const noJson = named('Machine', 'AWS::StepFunctions::StateMachine', { DefinitionString: '{' });
    expect(machineFaults(noJson).join()).toMatch(/^Machine: /);
    const elsewhere = stack(
      { StartAt: 'Init', States: { Init: task } },
      { InitFunctionArn: { 'Fn::GetAtt': ['Machine', 'Arn'] } },
    );
    expect(machineFaults(elsewhere)).toEqual(['Machine: ${InitFunctionArn} is no function of the stack']);
  });
});

describe('a policy', () => {
  const role = (...Statement: unknown[]) =>
    named('Role', 'AWS::IAM::Role', {
      Policies: [{ PolicyName: 'all', PolicyDocument: { Version: '2012-10-17', Statement } }],
    });
  const allow = (Action: unknown, Resource: unknown, Condition?: unknown) => ({
    Effect: 'Allow',
    Action,
    Resource,
    ...(Condition !== undefined && { Condition }),
  });
  const KEYS = { 'Fn::Sub': 'arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*' };
  const VIA = { StringEquals: { 'kms:ViaService': 's3.eu-central-1.amazonaws.com' } };

  test.each([
    [allow('s3:GetObject', 'arn:aws:s3:::videos/*')],
    [allow(['s3:ListBucket'], { 'Fn::Sub': 'arn:${AWS::Partition}:s3:::videos-${AWS::AccountId}' })],
    [allow('states:RedriveExecution', ['arn:aws:states:eu-central-1:1:execution:upload:*'])],
    [allow('dynamodb:UpdateItem', { 'Fn::GetAtt': ['Table', 'Arn'] })],
    [allow('xray:PutTraceSegments', '*')],
    [allow('kms:Decrypt', KEYS, VIA)],
  ])('that names what it is for passes: %j', (statement) => {
    expect(policyFaults(role(statement))).toEqual([]);
  });

  test.each([
    [allow('s3:*', 'arn:aws:s3:::videos/*'), /Role: s3:\*: name the actions/],
    [allow('*', '*'), /\*: name the actions/],
    [allow(['xray:PutTraceSegments', 's3:GetObject'], '*'), /s3:GetObject on \*: name the resources/],
    [allow('s3:GetObject', 'arn:aws:s3:::*'), /arn:aws:s3:::\*/],
    [allow('s3:GetObject', 'arn:aws:s3:::*/*'), /name the resource/],
    [allow('lambda:InvokeFunction', 'arn:aws:lambda:eu-central-1:1:function:*'), /function:\*/],
    [allow('sqs:SendMessage', 'arn:aws:sqs:*:1:events'), /name the resource/],
    [allow('kms:Decrypt', KEYS), /key\/\*: name the resource, or set a condition/],
    [allow('s3:GetObject', { 'Fn::Join': ['', ['arn:aws:s3:::', '*']] }), /name the resources/],
    [{ Effect: 'Allow', NotAction: 's3:DeleteObject', Resource: 'arn:aws:s3:::videos/*' }, /NotAction/],
    [{ Effect: 'Allow', Action: 's3:GetObject', NotResource: 'arn:aws:s3:::other/*' }, /NotResource/],
  ])('that allows more does not: %j', (statement, fault) => {
    expect(policyFaults(role(statement)).join('\n')).toMatch(fault);
  });

  test('that somebody else wrote, or that stands elsewhere, does not', () => {
    const ManagedPolicyArns = ['arn:aws:iam::aws:policy/AdministratorAccess'];
    expect(policyFaults(named('Role', 'AWS::IAM::Role', { ManagedPolicyArns })).join()).toMatch(
      /AdministratorAccess/,
    );
    expect(policyFaults(named('Apart', 'AWS::IAM::Policy', {})).join()).toMatch(/^Apart: /);
  });
});

test('bundles may be so large, and not a byte larger', () => {
  const of = (bytes: number) => sizeFaults([{ name: 'init', path: 'init.js', bytes }]);
  expect(of(MAX_BUNDLE_BYTES)).toEqual([]);
  expect(of(MAX_BUNDLE_BYTES + 1)).toEqual([
    expect.stringContaining(`init is ${MAX_BUNDLE_BYTES + 1} bytes`),
  ]);
});

test('a line for each gate, and the names of those that are shut', async () => {
  const template = named('Role', 'AWS::IAM::Role', {
    ManagedPolicyArns: ['arn:aws:iam::aws:policy/AdministratorAccess'],
  });
  const { lines, shut } = runChecks({ templatePath: await written(template), template, bundles: [] });
  expect(lines).toHaveLength(5);
  expect(shut).toEqual(expect.arrayContaining(['state machine', 'policies']));
  expect(lines).toContain('✔ bundles');
  expect(lines).toContainEqual(expect.stringMatching(/^✘ policies: Role: .*AdministratorAccess/));
});
