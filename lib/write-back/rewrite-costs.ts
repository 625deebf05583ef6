import type { BucketFacts, Fact } from '../s3/bucket-facts.ts';
import { archiveTier, type ObjectHead } from '../s3/head-object.ts';

/** The costs of rewriting an object: a write-back into metadata copies the object onto itself. */

/** `status`: whether a rewrite costs something here, or that this is not known. `message`: the reason, without a full stop. */
export type RewriteCheck = Readonly<{
  check: string;
  status: 'free' | 'costly' | 'unknown';
  message: string;
}>;

/** Judges what the bucket does with a rewritten object. `npm run doctor` prints all of it, and `auto` reads the costs. */
export function checkBucket({
  versioning,
  retention,
  replication,
  notifications,
}: BucketFacts): RewriteCheck[] {
  return [
    judge('versioning', versioning, ({ isEnabled, expiresOldVersions }) => {
      if (!isEnabled) return free('off: a write-back replaces the object');
      return expiresOldVersions
        ? free('on: a lifecycle rule deletes the version before each write-back')
        : costly('each write-back leaves a second version of the video, which no lifecycle rule deletes');
    }),
    judge('object lock', retention, (period) =>
      period === undefined
        ? free('no default retention')
        : costly(`each write-back leaves a version that is locked (${period})`),
    ),
    judge('replication', replication, (rules) =>
      rules === 0
        ? free('no replication')
        : costly(`${rules} replication rules transfer each video again after its write-back`),
    ),
    judge('notifications', notifications, ({ onCopy }) =>
      onCopy === 0
        ? free('no other destination is notified of a write-back')
        : costly(`${onCopy} other destinations are notified of each write-back`),
    ),
  ];
}

type Judgement = Omit<RewriteCheck, 'check'>;
const free = (message: string): Judgement => ({ status: 'free', message });
const costly = (message: string): Judgement => ({ status: 'costly', message });

const judge = <T>(check: string, fact: Fact<T>, judgeValue: (value: T) => Judgement): RewriteCheck => ({
  check,
  ...('unknown' in fact ? { status: 'unknown', message: fact.unknown } : judgeValue(fact.value)),
});

/** Classes with a fee for each read and a minimum storage duration, which a copy starts again. */
export const CLASSES_WITH_FEES: ReadonlySet<string> = new Set(['STANDARD_IA', 'ONEZONE_IA', 'GLACIER_IR']);
const RESTORED_CLASSES: ReadonlySet<string> = new Set(['GLACIER', 'DEEP_ARCHIVE']);

/** Why a rewrite of this object costs something or is impossible, whatever its bucket does. */
export function objectCost(head: ObjectHead, maxCopyBytes: number): string | undefined {
  const impossible = whyNotCopyable(head);
  if (impossible !== undefined) return impossible;
  const { StorageClass = '', ObjectLockMode, ObjectLockLegalHoldStatus, ObjectLockEventHold } = head.response;
  if (CLASSES_WITH_FEES.has(StorageClass) || RESTORED_CLASSES.has(StorageClass))
    return `a copy in ${StorageClass} is billed as a retrieval and a new minimum storage duration`;
  const isHeld = ObjectLockLegalHoldStatus === 'ON' || ObjectLockEventHold === 'ON';
  if (ObjectLockMode || isHeld) return 'a copy leaves a version that is locked';
  return head.pin.size > maxCopyBytes ? 'it must be copied in parts, because of its size' : undefined;
}

/** A copy needs readable bytes, and loses metadata that the response does not contain. */
export function whyNotCopyable(head: ObjectHead): string | undefined {
  const tier = archiveTier(head);
  if (tier) return `it is archived (${tier})`;
  const { MissingMeta } = head.response;
  return MissingMeta ? `${MissingMeta} of its metadata entries cannot be read over HTTP` : undefined;
}
