import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { beforeAll, describe, expect, test } from 'vitest';
import { readBundles } from '../../../deploy/checks.ts';
import { BUNDLE_DIR } from '../../../deploy/paths.ts';
import { type Statement, statementsOf } from '../../../deploy/policies.ts';
import { stateMachineJson } from '../../../deploy/state-machine.ts';
import { type Resource, readTemplate, type Template } from '../../../deploy/template.ts';
import { uploadSettings } from '../../../lib/config.ts';
import { QUOTA_TABLE } from '../../../lib/quota/table.ts';
import { newStack } from '../../support/stack.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { createBytes, sha1 } from '../../support/values.ts';

/** `npm run package` without an account or network: the template that CloudFormation gets, and the code that Lambda gets. */

const root = resolve(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

let output: string;
let template: Template;
beforeAll(async () => {
  const options = {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: '/nowhere', AWS_REGION: 'eu-central-1' },
  };
  const { stdout } = await promisify(execFile)(process.execPath, ['deploy/main.ts', 'package'], options);
  output = stdout;
  template = await readTemplate(join(root, '.serverless/cloudformation-template-update-stack.json'));
}, 180_000);

function resource(name: string): Resource {
  const found = template.Resources[name];
  if (!found) throw new Error(`no ${name} among ${Object.keys(template.Resources)}`);
  return found;
}
const properties = (name: string): Record<string, unknown> => resource(name).Properties;

const FUNCTIONS = ['Trigger', 'Init', 'Part', 'Finish', 'Cover'];
const STEPS = FUNCTIONS.filter((name) => name !== 'Trigger');
const lambda = (name: string) => properties(`${name}LambdaFunction`);
const arnOf = (name: string) => ({ 'Fn::GetAtt': [name, 'Arn'] });

test('passes all checks', () => {
  for (const check of ['template', 'state machine', 'policies', 'settings', 'bundles'])
    expect(output).toContain(`✔ ${check}\n`);
});

describe('the functions', () => {
  test('are the trigger and those that the state machine runs', () => {
    const functions = Object.keys(template.Resources).filter((name) => name.endsWith('LambdaFunction'));
    expect(functions.sort()).toEqual(FUNCTIONS.map((name) => `${name}LambdaFunction`).sort());
    const placeholders = [...stateMachineJson().matchAll(/\$\{(\w+)FunctionArn\}/g)].map(([, name]) => name);
    expect([...new Set(placeholders)].sort()).toEqual([...STEPS].sort());
    expect(properties('UploadStateMachine').DefinitionSubstitutions).toEqual(
      Object.fromEntries(STEPS.map((name) => [`${name}FunctionArn`, arnOf(`${name}LambdaFunction`)])),
    );
  });

  test.each(FUNCTIONS)('%s runs on Node.js 24 and arm64, with a separate role and bundle', (name) => {
    expect(lambda(name)).toMatchObject({
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Handler: `handlers/${name.toLowerCase()}.handler`,
      Role: arnOf(`${name}Role`),
      Code: { S3Key: expect.stringMatching(new RegExp(`/${name.toLowerCase()}\\.zip$`)) },
    });
    expect(properties(`${name}LogGroup`)).toMatchObject({ RetentionInDays: 30 });
  });

  test('have the maximum time limit, and the state machine a longer one', () => {
    for (const name of STEPS) expect(lambda(name)).toMatchObject({ Timeout: 900 });
    expect(stateMachineJson().match(/"TimeoutSeconds": (?!930)\d+/)).toBe(null);
    expect(lambda('Trigger')).toMatchObject({ Timeout: 60 });
  });

  const environment = (name: string): Record<string, unknown> => {
    const { Environment } = lambda(name) as { Environment: { Variables: Record<string, unknown> } };
    return Environment.Variables;
  };

  test('have only environment variables that the code reads, with valid values', () => {
    const known = ['lib/config.ts', 'lib/upload/upload-options.ts', 'docs/reference/settings.md']
      .map(read)
      .join('\n');
    for (const name of FUNCTIONS) {
      for (const variable of Object.keys(environment(name))) {
        if (!/^(MALLOC|NODE|POWERTOOLS)_/.test(variable)) expect(known, variable).toContain(variable);
      }
    }
    for (const name of STEPS) {
      const { QUOTA_TABLE: table, ...plain } = environment(name);
      expect(table).toEqual({ Ref: 'QuotaTable' });
      const settings = uploadSettings({ ...(plain as Record<string, string>), QUOTA_TABLE: 'table' });
      expect(settings).toEqual({
        ...uploadSettings({}),
        quota: { ...uploadSettings({}).quota, table: 'table' },
      });
      expect(plain).toMatchObject({
        VOD_SECRET_ID_PARAMETER: '/s3-vod/dev/secret-id',
        VOD_SECRET_KEY_PARAMETER: '/s3-vod/dev/secret-key',
      });
    }
    const { QUOTA_CALLS_PER_MINUTE, QUOTA_PARTS_PER_MINUTE, MAX_FUNCTIONS, VOD_API } = environment('Init');
    expect(VOD_API).toBe('2.0');
    expect(environment('Trigger')).toMatchObject({
      STATE_MACHINE_ARN: { Ref: 'UploadStateMachine' },
      QUEUE_URL: { Ref: 'Queue' },
      DEAD_LETTER_QUEUE_URL: { Ref: 'DeadLetterQueue' },
      ...{ QUOTA_TABLE: { Ref: 'QuotaTable' }, QUOTA_CALLS_PER_MINUTE, QUOTA_PARTS_PER_MINUTE },
      ...{ MAX_FUNCTIONS, VOD_API },
    });
  });

  test('have no secret in their environment', () => {
    for (const name of FUNCTIONS)
      for (const secret of ['VOD_SECRET_ID', 'VOD_SECRET_KEY', 'VOD_TOKEN'])
        expect(environment(name)).not.toHaveProperty(secret);
  });
});

test('deploys the state machine that the local engine runs, with logs and traces', () => {
  expect(properties('UploadStateMachine')).toMatchObject({
    StateMachineType: 'STANDARD',
    DefinitionString: stateMachineJson(),
    LoggingConfiguration: { Level: 'ERROR', IncludeExecutionData: true },
    TracingConfiguration: { Enabled: true },
  });
});

test('keeps the bucket and its policy when the stack is removed, and deletes both when the first deployment fails', () => {
  const kept = Object.entries(template.Resources).filter(
    ([, { DeletionPolicy }]) => DeletionPolicy !== undefined,
  );
  expect(kept.map(([name]) => name).sort()).toEqual(['Bucket', 'BucketPolicy']);
  for (const [, of] of kept)
    expect(of).toMatchObject({ DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' });
});

test('rejects requests to the bucket without TLS', () => {
  expect(properties('BucketPolicy')).toMatchObject({
    Bucket: { Ref: 'Bucket' },
    PolicyDocument: {
      Statement: [
        {
          Effect: 'Deny',
          Principal: '*',
          Action: 's3:*',
          Resource: [arnOf('Bucket'), { 'Fn::Sub': '${Bucket.Arn}/*' }],
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        },
      ],
    },
  });
});

test('sends the events of the bucket to EventBridge', () => {
  expect(resource('Bucket')).toMatchObject({
    Properties: {
      BucketName: { 'Fn::Sub': 's3-vod-dev-${AWS::AccountId}-${AWS::Region}' },
      NotificationConfiguration: { EventBridgeConfiguration: { EventBridgeEnabled: true } },
      PublicAccessBlockConfiguration: { BlockPublicAcls: true, RestrictPublicBuckets: true },
    },
  });
});

describe('an event', () => {
  test('matches the rule and the archive, whatever created the object', () => {
    const created = {
      source: ['aws.s3'],
      'detail-type': ['Object Created'],
      detail: {
        bucket: { name: [{ 'Fn::Sub': 's3-vod-dev-${AWS::AccountId}-${AWS::Region}' }] },
        object: { key: [{ wildcard: '*' }] },
      },
    };
    expect(properties('ObjectCreated').EventPattern).toEqual(created);
    expect(properties('EventArchive')).toMatchObject({ EventPattern: created, RetentionDays: 90 });
    expect(properties('ObjectCreated').Targets).toEqual([
      { Id: 'queue', Arn: arnOf('Queue'), DeadLetterConfig: { Arn: arnOf('DeadLetterQueue') } },
    ]);
  });

  test('waits in the queue for up to 14 days, and stays hidden for six trigger time limits', () => {
    const { Timeout } = lambda('Trigger');
    const { VisibilityTimeout, RedrivePolicy, MessageRetentionPeriod } = properties('Queue');
    expect(Number(VisibilityTimeout)).toBeGreaterThanOrEqual(6 * Number(Timeout));
    expect(RedrivePolicy).toEqual({ deadLetterTargetArn: arnOf('DeadLetterQueue'), maxReceiveCount: 1000 });
    expect(MessageRetentionPeriod).toBe(14 * 24 * 3600);
    expect(properties('DeadLetterQueue')).toMatchObject({ MessageRetentionPeriod: 14 * 24 * 3600 });
  });

  test('fails alone in its batch', () => {
    const [mapping, ...more] = Object.values(template.Resources).filter(
      ({ Type }) => Type === 'AWS::Lambda::EventSourceMapping',
    );
    expect(more).toEqual([]);
    expect(mapping?.Properties).toMatchObject({
      EventSourceArn: arnOf('Queue'),
      FunctionName: arnOf('TriggerLambdaFunction'),
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    });
  });

  test('enters the queues only through the rule, which is created after the permission', () => {
    expect(resource('ObjectCreated').DependsOn).toEqual(['QueuePolicy']);
    const rule = `rule/${properties('ObjectCreated').Name}`;
    expect(rule).toBe('rule/s3-vod-dev-object-created');
    expect(properties('QueuePolicy').PolicyDocument).toMatchObject({
      Statement: [
        {
          Principal: { Service: 'events.amazonaws.com' },
          Action: 'sqs:SendMessage',
          Condition: {
            ArnEquals: {
              'aws:SourceArn': {
                'Fn::Sub': `arn:\${AWS::Partition}:events:\${AWS::Region}:\${AWS::AccountId}:${rule}`,
              },
            },
          },
        },
      ],
    });
  });
});

test('has the outputs that operate/stack.ts reads', () => {
  const [, outputs = ''] = /export type Output =([^;]+);/.exec(read('operate/stack.ts')) ?? [];
  const expected = [...outputs.matchAll(/'(\w+)'/g)].map(([, name]) => name);
  expect(expected.length).toBeGreaterThan(5);
  expect(Object.keys(v.parse(v.record(v.string(), v.unknown()), template.Outputs))).toEqual(
    expect.arrayContaining(expected),
  );
});

test('has the quota table that lib/quota uses', () => {
  expect(properties('QuotaTable')).toEqual(QUOTA_TABLE);
});

describe('roles', () => {
  const BUCKET = 'arn:${AWS::Partition}:s3:::s3-vod-dev-${AWS::AccountId}-${AWS::Region}';
  const OBJECTS = { 'Fn::Sub': `${BUCKET}/*` };
  const machine = (kind: string, rest = '') => ({
    'Fn::Sub': `arn:\${AWS::Partition}:states:\${AWS::Region}:\${AWS::AccountId}:${kind}:s3-vod-dev-upload${rest}`,
  });
  /** The actions and resources of each statement. */
  const allowed = (role: string) =>
    (statementsOf(template)[role] ?? []).map(({ Action, Resource }) => [Action, Resource]);
  const ownLogs = (name: string) => [
    ['logs:CreateLogStream', 'logs:PutLogEvents'],
    [arnOf(`${name}LogGroup`)],
  ];
  const parameter = (name: string) => ({
    'Fn::Sub': `arn:\${AWS::Partition}:ssm:\${AWS::Region}:\${AWS::AccountId}:parameter/s3-vod/dev/${name}`,
  });
  const KEYS = { 'Fn::Sub': 'arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*' };
  const SHARED = [
    [['ssm:GetParameters'], [parameter('secret-id'), parameter('secret-key')]],
    [['kms:Decrypt'], [KEYS]],
    [['dynamodb:UpdateItem'], [arnOf('QuotaTable')]],
  ];
  const LISTING = [['s3:ListBucket'], [{ 'Fn::Sub': BUCKET }]];

  test('let Trigger receive, postpone, and reject messages, and start executions', () => {
    expect(allowed('TriggerRole')).toEqual([
      ownLogs('Trigger'),
      [['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'], [arnOf('Queue')]],
      [['states:StartExecution'], [machine('stateMachine')]],
      [['states:DescribeExecution', 'states:RedriveExecution'], [machine('execution', ':*')]],
      [['sqs:ChangeMessageVisibility'], [arnOf('Queue')]],
      [['sqs:SendMessage'], [arnOf('DeadLetterQueue')]],
      [['s3:GetObject'], [OBJECTS]],
      [['kms:Decrypt'], [KEYS]],
      [['dynamodb:UpdateItem', 'dynamodb:GetItem'], [arnOf('QuotaTable')]],
    ]);
    expect(properties('UploadStateMachine').StateMachineName).toBe('s3-vod-dev-upload');
  });

  test('let Init read objects and their tags', () => {
    expect(allowed('InitRole')).toEqual([
      ownLogs('Init'),
      [
        [
          ...['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectTagging', 's3:GetObjectVersionTagging'],
          ...['s3:GetObjectAnnotation', 's3:GetObjectVersionAnnotation'],
        ],
        [OBJECTS],
      ],
      LISTING,
      [['kms:Decrypt'], [KEYS]],
      ...SHARED,
    ]);
  });

  test('let Part read objects', () => {
    expect(allowed('PartRole')).toEqual([
      ownLogs('Part'),
      [['s3:GetObject', 's3:GetObjectVersion'], [OBJECTS]],
      LISTING,
      [['kms:Decrypt'], [KEYS]],
      ...SHARED,
    ]);
  });

  test('let Finish rewrite objects, and not delete them', () => {
    const [[actions, resources] = [], key, ...rest] = allowed('FinishRole');
    expect(resources).toEqual([OBJECTS]);
    expect([...(actions as string[])].sort()).toEqual(
      [
        ...['s3:AbortMultipartUpload', 's3:GetObject', 's3:GetObjectAcl', 's3:GetObjectLegalHold'],
        ...['s3:GetObjectRetention', 's3:GetObjectTagging', 's3:GetObjectVersionAcl'],
        ...['s3:GetObjectAnnotation', 's3:ListObjectAnnotations', 's3:PutObjectAnnotation'],
        ...['s3:GetObjectVersionTagging', 's3:PutObject', 's3:PutObjectAcl', 's3:PutObjectLegalHold'],
        ...['s3:PutObjectRetention', 's3:PutObjectTagging', 's3:PutObjectVersionTagging'],
        's3:ListMultipartUploadParts',
      ].sort(),
    );
    expect([key, ...rest]).toEqual([
      [['kms:Decrypt', 'kms:GenerateDataKey'], [KEYS]],
      ownLogs('Finish'),
      LISTING,
      ...SHARED,
    ]);
  });

  test('let Cover do what Finish does, and read versions', () => {
    const finish = allowed('FinishRole').flatMap((statement) =>
      JSON.stringify(statement) === JSON.stringify(ownLogs('Finish'))
        ? [ownLogs('Cover'), [['s3:GetObjectVersion'], [OBJECTS]]]
        : [statement],
    );
    expect(allowed('CoverRole')).toEqual(finish);
  });

  test('allow keys only through S3 for this bucket and through SSM for these parameters', () => {
    const withKeys = STEPS.flatMap((name) => statementsOf(template)[`${name}Role`] ?? []).filter(
      ({ Action }: Statement) => Action.some((action) => action.startsWith('kms:')),
    );
    expect(withKeys).toHaveLength(2 * STEPS.length);
    for (const { Condition } of withKeys) {
      const equals = Condition?.StringEquals as Record<string, { 'Fn::Sub': string }>;
      const service = equals['kms:ViaService']?.['Fn::Sub'];
      if (service === 's3.${AWS::Region}.${AWS::URLSuffix}') {
        expect(Condition?.ArnLike).toEqual({
          'kms:EncryptionContext:aws:s3:arn': [{ 'Fn::Sub': BUCKET }, OBJECTS],
        });
      } else {
        expect(service).toBe('ssm.${AWS::Region}.${AWS::URLSuffix}');
        expect(equals['kms:EncryptionContext:PARAMETER_ARN']).toEqual([
          parameter('secret-id'),
          parameter('secret-key'),
        ]);
      }
    }
  });

  test('let the state machine invoke its functions', () => {
    const [invoke] = allowed('StateMachineRole');
    expect(invoke).toEqual([['lambda:InvokeFunction'], STEPS.map((name) => arnOf(`${name}LambdaFunction`))]);
  });

  test('are one per function, and one for the state machine', () => {
    expect(Object.keys(statementsOf(template)).sort()).toEqual(
      [...FUNCTIONS.map((name) => `${name}Role`), 'StateMachineRole'].sort(),
    );
  });
});

test.each([
  ['tags', ['s3:PutObjectTagging', 's3:PutObjectVersionTagging']],
  [
    'annotation',
    [
      ...['kms:GenerateDataKey', 's3:PutObjectAnnotation', 's3:PutObjectTagging'],
      ...['s3:PutObjectVersionAnnotation', 's3:PutObjectVersionTagging'],
    ],
  ],
])('with writeBack=%s, lets functions write nothing else of an object', async (mode, expected) => {
  const osls = join(root, 'node_modules/osls/bin/serverless.js');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [osls, 'print', '--format=json', '--region=eu-central-1', `--param=writeBack=${mode}`],
    { cwd: root, maxBuffer: 10_000_000 },
  );
  const Printed = v.object({
    resources: v.object({ Resources: v.looseObject({ FinishRole: v.looseObject({}) }) }),
  });
  const roles = v.parse(Printed, JSON.parse(stdout)).resources.Resources;
  const actions = [...JSON.stringify(roles).matchAll(/"(s3:\w+|kms:\w+)"/g)].map(([, action = '']) => action);
  const written = actions.filter((action) => !/:(Get|List|Decrypt|ViaService)/.test(action));
  expect([...new Set(written)].sort()).toEqual(expected);
});

/** The names in a zip's central directory. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT 4.3.12, 4.3.16 */
function namesIn(zip: Buffer): string[] {
  const end = zip.lastIndexOf('PK\x05\x06');
  const names: string[] = [];
  for (let at = zip.readUInt32LE(end + 16); at < end; ) {
    const [name, extra, comment] = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset));
    names.push(zip.toString('utf8', at + 46, at + 46 + (name ?? 0)));
    at += 46 + (name ?? 0) + (extra ?? 0) + (comment ?? 0);
  }
  return names;
}

describe('the bundles', () => {
  test('are zips with one function and its source map', () => {
    for (const name of FUNCTIONS.map((title) => title.toLowerCase())) {
      const names = namesIn(readFileSync(join(root, `.serverless/${name}.zip`)));
      expect(names).toEqual([`handlers/${name}.js`, `handlers/${name}.js.map`]);
    }
  });

  test('are all checked for their size', () => {
    const checked = readBundles(BUNDLE_DIR).map(({ name }) => name);
    expect(checked.sort()).toEqual(FUNCTIONS.map((title) => title.toLowerCase()).sort());
  });

  test('upload an object as the sources do', async () => {
    const world = await newStack({ bundleDir: BUNDLE_DIR });
    const body = createBytes(3_000_000);
    await world.put('film.mp4', body);
    const [first, ...others] = await world.results();
    expect(first).toMatchObject({
      outcome: 'uploaded',
      sha1: sha1(body),
      sent: { parts: 3, bytes: 3_000_000 },
    });
    expect(sha1(await world.readStoredFile(first?.fileId))).toBe(sha1(body));
    expect((await world.head('film.mp4')).Metadata).toMatchObject({ 'vod-file-id': first?.fileId });
    expect(others).toEqual([]);
  });

  test('keep the error names that the state machine matches', async () => {
    const world = await newStack({ bundleDir: BUNDLE_DIR });
    await world.put('empty.mp4', createBytes(0));
    await world.idle();
    expect(world.ended).toMatchObject([{ status: 'FAILED', error: 'UnsupportedObject' }]);
  });

  test('are required by --packaged, whose error names npm run package', async () => {
    const bundleDir = await newFolder();
    await expect(newStack({ bundleDir })).rejects.toThrow(/\.js does not exist\. .*npm run package/);
  });
});
