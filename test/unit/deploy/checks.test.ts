import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  checkBundles,
  checkSettings,
  checkStateMachines,
  checkTemplate,
  MAX_BUNDLE_BYTES,
  runChecks,
} from '../../../deploy/checks.ts';
import { checkPolicies, checkWriteBackMode } from '../../../deploy/policies.ts';
import { readTemplate, type Template } from '../../../deploy/template.ts';
import { newFolder } from '../../support/temp-folder.ts';

async function writeTemplate(content: unknown): Promise<string> {
  const path = join(await newFolder(), 'template.json');
  await writeFile(path, JSON.stringify(content));
  return path;
}

const templateOf = (name: string, Type: string, Properties: Record<string, unknown>): Template => ({
  Resources: { [name]: { Type, Properties } },
});

describe('checkTemplate', () => {
  test('accepts resources that match their schemas', async () => {
    expect(
      checkTemplate(await writeTemplate(templateOf('Queue', 'AWS::SQS::Queue', { VisibilityTimeout: 30 }))),
    ).toEqual([]);
  });

  test.each([
    ['an unknown property', { VisibilityTimeOut: 30 }, /Queue.*VisibilityTimeOut/],
    ['a value of the wrong type', { VisibilityTimeout: 'long' }, /Queue.*VisibilityTimeout/],
    ['a reference to a missing resource', { QueueName: { Ref: 'Missing' } }, /Missing/],
  ])('rejects %s', async (_, properties, problem) => {
    const problems = checkTemplate(await writeTemplate(templateOf('Queue', 'AWS::SQS::Queue', properties)));
    expect(problems.join('\n')).toMatch(problem);
  });

  test('readTemplate rejects JSON that is not a template', async () => {
    await expect(readTemplate(await writeTemplate({ resources: {} }))).rejects.toThrow(/Resources/);
  });
});

describe('checkSettings', () => {
  const step = (Variables: Record<string, unknown>) => ({
    Type: 'AWS::Lambda::Function',
    Properties: { Environment: { Variables } },
  });

  test('accepts settings that the functions can parse, and skips references', () => {
    const Init = step({
      QUOTA_TABLE: { Ref: 'QuotaTable' },
      QUOTA_CALLS_PER_MINUTE: '100',
      VOD_HOST: '',
      WRITE_BACK: 'tags',
    });
    expect(checkSettings({ Resources: { Init, Bare: { ...Init, Properties: {} } } })).toEqual([]);
  });

  test.each([
    ['WRITE_BACK', 'x'],
    ['QUOTA_CALLS_PER_MINUTE', '1'],
    ['VOD_ENDPOINT', 'vod2.qcloud.com'],
    ['VOD_CLASS_ID', 'films'],
  ])('rejects %s=%s once for all functions', (name, value) => {
    const problems = checkSettings({
      Resources: { Init: step({ [name]: value }), Part: step({ [name]: value }) },
    });
    expect(problems).toEqual([expect.stringContaining(`setting ${name}: `)]);
  });
});

describe('checkStateMachines', () => {
  const task = { Type: 'Task', Resource: '${InitFunctionArn}', End: true };
  const stack = (
    definition: unknown,
    substitutions = { InitFunctionArn: { 'Fn::GetAtt': ['Init', 'Arn'] } },
  ) => ({
    Resources: {
      Init: { Type: 'AWS::Lambda::Function', Properties: {} },
      Machine: {
        Type: 'AWS::StepFunctions::StateMachine',
        Properties: { DefinitionString: JSON.stringify(definition), DefinitionSubstitutions: substitutions },
      },
    },
  });

  test('accepts a valid definition that runs functions of the stack', () => {
    expect(checkStateMachines(stack({ StartAt: 'Init', States: { Init: task } }))).toEqual([]);
  });

  test.each([
    [
      'a transition to a missing state',
      { StartAt: 'Init', States: { Init: { ...task, End: undefined, Next: 'Deleted' } } },
      /Deleted/,
    ],
    ['an unknown state type', { StartAt: 'Init', States: { Init: { ...task, Type: 'Tsk' } } }, /Machine: /],
    [
      'a placeholder without a function',
      { StartAt: 'Init', States: { Init: { ...task, Resource: '${PartFunctionArn}' } } },
      /expected \$\{PartFunctionArn\} to be a function of the stack/,
    ],
  ])('rejects %s', (_, definition, problem) => {
    expect(checkStateMachines(stack(definition)).join('\n')).toMatch(problem);
  });

  test('rejects a missing state machine, invalid JSON, and a placeholder for another resource type', () => {
    expect(checkStateMachines({ Resources: {} })).toEqual(['expected a state machine, found none']);
    const noJson = templateOf('Machine', 'AWS::StepFunctions::StateMachine', { DefinitionString: '{' });
    expect(checkStateMachines(noJson).join()).toMatch(/^Machine: /);
    const elsewhere = stack(
      { StartAt: 'Init', States: { Init: task } },
      { InitFunctionArn: { 'Fn::GetAtt': ['Machine', 'Arn'] } },
    );
    expect(checkStateMachines(elsewhere)).toEqual([
      'Machine: expected ${InitFunctionArn} to be a function of the stack',
    ]);
  });
});

describe('checkPolicies', () => {
  const role = (...Statement: unknown[]) =>
    templateOf('Role', 'AWS::IAM::Role', {
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
  ])('accepts a statement that names its actions and resources: %j', (statement) => {
    expect(checkPolicies(role(statement))).toEqual([]);
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
  ])('rejects a statement that allows more: %j', (statement, problem) => {
    expect(checkPolicies(role(statement)).join('\n')).toMatch(problem);
  });

  test('rejects managed policies and policies outside roles', () => {
    const ManagedPolicyArns = ['arn:aws:iam::aws:policy/AdministratorAccess'];
    expect(checkPolicies(templateOf('Role', 'AWS::IAM::Role', { ManagedPolicyArns })).join()).toMatch(
      /AdministratorAccess/,
    );
    expect(checkPolicies(templateOf('Apart', 'AWS::IAM::Policy', {})).join()).toMatch(/^Apart: /);
  });
});

describe('checkWriteBackMode', () => {
  const stack = (mode: string, ...Action: string[]): Template => ({
    Resources: {
      Finish: {
        Type: 'AWS::Lambda::Function',
        Properties: { Environment: { Variables: { WRITE_BACK: mode } } },
      },
      Role: {
        Type: 'AWS::IAM::Role',
        Properties: {
          Policies: [
            {
              PolicyName: 'finish',
              PolicyDocument: {
                Version: '2012-10-17',
                Statement: [{ Effect: 'Allow', Action, Resource: 'arn:aws:s3:::videos/*' }],
              },
            },
          ],
        },
      },
    },
  });

  test('rejects permissions to change more of an object than its tags', () => {
    expect(
      checkWriteBackMode(stack('tags', 's3:GetObject', 's3:PutObjectTagging', 's3:PutObjectRetention')),
    ).toEqual(['Role: expected only tags to be written (writeBack=tags), got s3:PutObjectRetention']);
  });

  test('rejects permissions to change more of an object than its annotations and tags', () => {
    const actions = ['s3:GetObject', 's3:PutObjectTagging', 's3:PutObjectVersionAnnotation', 's3:PutObject'];
    expect(checkWriteBackMode(stack('annotation', ...actions))).toEqual([
      'Role: expected only annotations and tags to be written (writeBack=annotation), got s3:PutObject',
    ]);
  });

  test.each(['metadata', 'auto'])('allows them in the mode %s', (mode) => {
    expect(checkWriteBackMode(stack(mode, 's3:PutObject'))).toEqual([]);
  });
});

test('checkBundles rejects a bundle above the limit', () => {
  const of = (bytes: number) => checkBundles([{ name: 'init', path: 'init.js', bytes }]);
  expect(of(MAX_BUNDLE_BYTES)).toEqual([]);
  expect(of(MAX_BUNDLE_BYTES + 1)).toEqual([
    expect.stringContaining(`init: expected at most ${MAX_BUNDLE_BYTES} bytes, got ${MAX_BUNDLE_BYTES + 1}`),
  ]);
});

test('runChecks returns a line per check and the names of those that failed', async () => {
  const template = templateOf('Role', 'AWS::IAM::Role', {
    ManagedPolicyArns: ['arn:aws:iam::aws:policy/AdministratorAccess'],
  });
  const { lines, failed } = runChecks({ templatePath: await writeTemplate(template), template, bundles: [] });
  expect(lines).toHaveLength(5);
  expect(failed).toEqual(expect.arrayContaining(['state machine', 'policies']));
  expect(lines).toContain('✔ bundles');
  expect(lines).toContainEqual(expect.stringMatching(/^✘ policies: Role: .*AdministratorAccess/));
});
