import type { Fact } from '../../lib/s3/bucket-facts.ts';
import { CLASSES_WITH_FEES, checkBucket, type RewriteCheck } from '../../lib/write-back/rewrite-costs.ts';
import type { Facts, Settings } from './facts.ts';

/** Judges the facts of a stack. One finding per check, with advice if something is wrong. */

/** `message`: one line. */
export type Finding = Readonly<{ check: string; ok: boolean; message: string }>;

type Judgement = Omit<Finding, 'check'>;
const good = (message: string): Judgement => ({ ok: true, message });
const bad = (message: string): Judgement => ({ ok: false, message });

/** S3 rejects a request whose time differs by 15 minutes. A clock that is a minute off is not synchronized. */
const MAX_CLOCK_OFFSET_MS = 60_000;

/** A part needs a few round trips. Beyond this time they cost more than the transfer. */
const MAX_CONNECT_MS = 250;

export function findingsOf(facts: Facts): Finding[] {
  const checks: [check: string, judgement: Judgement][] = [
    ['settings', judge(facts.settings, () => good('the functions accept their settings'))],
    ['keys', judge(facts.keys, judgeKeys)],
    ['functions', judge(facts.init, (error) => judgeInit(error, facts))],
    ['kms', judge(facts.encryption, (encryption) => judgeEncryption(encryption, facts))],
    ['events', judge(facts.notifications, ({ eventBridge }) => judgeEvents(eventBridge))],
    ['rule', judge(facts.rule, judgeRule)],
    ['trigger', judge(facts.mapping, judgeMapping)],
    ['concurrency', judge(facts.concurrency, (limit) => judgeConcurrency(limit, facts.settings))],
    ['clock', judge(facts.clockOffsetMs, judgeClock)],
    ['distance', judge(facts.connectMs, (ms) => judgeDistance(ms, facts.region))],
    ...judgeRewrites(facts),
  ];
  return checks.map(([check, judgement]) => ({ check, ...judgement }));
}

const judge = <T>(fact: Fact<T>, judgeValue: (value: T) => Judgement): Judgement =>
  'unknown' in fact ? bad(fact.unknown) : judgeValue(fact.value);

const judgeKeys = (reason: string | undefined): Judgement =>
  reason === undefined
    ? good('VOD accepts the keys')
    : bad(`VOD rejects the keys: ${reason}. Store the keys of an active VOD sub-account.`);

const judgeInit = (error: string | undefined, { sample }: Facts): Judgement =>
  error === undefined
    ? good(`Init reads its keys and ${sample === undefined ? 'the bucket, which is empty' : 'an object'}`)
    : bad(`Init fails: ${error} Follow the message; docs/reference/errors.md lists the errors.`);

function judgeEncryption(
  { algorithm, keyId = 'aws/s3' }: { algorithm: string; keyId: string | undefined },
  { init, sample }: Facts,
): Judgement {
  if (!algorithm.startsWith('aws:kms')) return good(`objects are encrypted without a KMS key (${algorithm})`);
  const fails = 'value' in init && init.value !== undefined;
  if (fails || 'unknown' in init)
    return bad(
      `expected Init to read an object encrypted with ${keyId}, got an error. Allow kms:Decrypt and kms:GenerateDataKey to ` +
        'the roles of the functions in the policy of the key. For a key of another account, set the parameter bucketKey.',
    );
  return good(
    sample === undefined
      ? `objects are encrypted with ${keyId}. There is none yet to test the key with`
      : `Init reads an object of the bucket, which is encrypted with ${keyId}`,
  );
}

const judgeEvents = (eventBridge: boolean): Judgement =>
  eventBridge
    ? good('the bucket sends its events to EventBridge')
    : bad('the bucket sends no events to EventBridge. Run npm run enable-events -- BUCKET.');

const judgeRule = ({ name, state }: { name: string; state: string | undefined }): Judgement =>
  state?.startsWith('ENABLED')
    ? good(`rule ${name} is enabled`)
    : bad(`rule ${name}: expected ENABLED, got ${state}. Run aws events enable-rule --name ${name}.`);

function judgeMapping(mapping: { id: string | undefined; state: string | undefined } | undefined): Judgement {
  if (!mapping)
    return bad('expected the queue to invoke the trigger, got no event source mapping. Deploy again.');
  const { id, state } = mapping;
  if (['Enabled', 'Enabling', 'Creating', 'Updating'].includes(state ?? ''))
    return good('the queue invokes the trigger');
  return bad(
    `event source mapping: expected Enabled, got ${state}. Run aws lambda update-event-source-mapping --uuid ${id} --enabled.`,
  );
}

function judgeConcurrency(limit: number, settings: Fact<Settings>): Judgement {
  if ('unknown' in settings) return bad(settings.unknown);
  const { maxFunctions } = settings.value.quota;
  return limit >= maxFunctions
    ? good(
        `the account has ${limit} concurrent executions for functions; the stack uses at most ${maxFunctions}`,
      )
    : bad(
        `expected ${maxFunctions} concurrent executions (maxFunctions), the account has ${limit}. ` +
          `Deploy with --param="maxFunctions=${limit}", or request a higher Lambda quota.`,
      );
}

const judgeClock = (offsetMs: number): Judgement =>
  Math.abs(offsetMs) <= MAX_CLOCK_OFFSET_MS
    ? good('the clock of this machine agrees with the clock of S3')
    : bad(
        `the clock of this machine is ${Math.round(Math.abs(offsetMs) / 1000)} s ${offsetMs > 0 ? 'ahead of' : 'behind'} ` +
          'the clock of S3. Synchronize it.',
      );

const judgeDistance = (ms: number, region: string): Judgement =>
  ms <= MAX_CONNECT_MS
    ? good(
        `a connection to VOD takes ${Math.round(ms)} ms from here. Measure from ${region} in its CloudShell`,
      )
    : bad(
        `a connection to VOD takes ${Math.round(ms)} ms from here. Measure from ${region} in its CloudShell. ` +
          `Above ${MAX_CONNECT_MS} ms, use a region nearer to VOD, or an acceleration address as vodEndpoint.`,
      );

/** A write-back into metadata copies each object onto itself. These checks find the costs of that. */
function judgeRewrites(facts: Facts): [string, Judgement][] {
  const { settings, storageClasses } = facts;
  const mode = 'value' in settings ? settings.value.writeBack.mode : 'metadata';
  const checks = [...checkBucket(facts), checkStorageClasses(storageClasses)];
  return checks.map(({ check, status, message }) => {
    if (mode === 'tags' || mode === 'annotation')
      return [check, good(`writeBack=${mode} rewrites no object`)];
    if (status === 'free') return [check, good(message)];
    if (status === 'unknown') return [check, bad(message)];
    if (mode === 'auto') return [check, good(`${message}, so auto chooses annotations`)];
    return [check, bad(`${message}. To avoid it, deploy with --param="writeBack=auto".`)];
  });
}

function checkStorageClasses(classes: Facts['storageClasses']): RewriteCheck {
  const check = 'storage classes';
  if ('unknown' in classes) return { check, status: 'unknown', message: classes.unknown };
  const counts = Object.entries(classes.value);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const summary = counts.map(([name, count]) => `${count} ${name}`);
  const found = `of ${total} objects: ${summary.join(', ') || 'none'}`;
  const hasFees = counts.some(([name]) => CLASSES_WITH_FEES.has(name));
  return hasFees
    ? { check, status: 'costly', message: `${found}. ${FEES}` }
    : { check, status: 'free', message: found };
}

const FEES =
  'A write-back to an infrequent access class is billed as a retrieval and a new minimum storage duration';
