import * as v from 'valibot';
import { MAX_BODY_BYTES, type SizeLimits } from './body.ts';
import { S3Error } from './errors.ts';

const text = v.pipe(v.union([v.string(), v.number()]), v.transform(String));

/** `v.isoTimestamp` also accepts a space instead of the T. S3 requires UTC. */
const EXPIRATION = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

const policy = v.object({
  expiration: v.pipe(v.string(), v.regex(EXPIRATION), v.transform(Date.parse), v.number()),
  conditions: v.array(
    v.union([
      v.pipe(
        v.tuple([v.literal('content-length-range'), v.number(), v.number()]),
        v.transform(([, min, max]) => ({ kind: 'length' as const, min, max })),
      ),
      v.pipe(
        v.tuple([v.picklist(['eq', 'starts-with']), v.pipe(v.string(), v.startsWith('$')), text]),
        v.transform(([kind, field, value]) => ({ kind, field: field.slice(1).toLowerCase(), value })),
      ),
      v.pipe(
        v.record(v.string(), text),
        v.check((condition) => Object.keys(condition).length === 1),
        v.transform((condition) => {
          const [[field, value] = ['', '']] = Object.entries(condition);
          return { kind: 'eq' as const, field: field.toLowerCase(), value };
        }),
      ),
    ]),
  ),
});

/** Fields that a policy need not mention. */
const EXEMPT = new Set(['policy', 'x-amz-signature', 'file', 'bucket']);

/**
 * Checks a form against its policy. The caller has verified the signature of the policy. `fields` maps lower-case names
 * to values and contains `bucket`. Returns the allowed size of the file.
 * @throws {S3Error} `InvalidPolicyDocument` or `AccessDenied`
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
 */
export function checkPolicy(base64: string, fields: ReadonlyMap<string, string>, now: Date): SizeLimits {
  const { expiration, conditions } = readPolicy(base64);
  if (expiration < now.getTime()) throw policyError('Policy expired.');
  let limits: SizeLimits = { min: 0, max: MAX_BODY_BYTES };
  const mentioned = new Set<string>();
  for (const condition of conditions) {
    if (condition.kind === 'length') {
      limits = { min: condition.min, max: Math.min(condition.max, MAX_BODY_BYTES) };
      continue;
    }
    const { kind, field, value } = condition;
    mentioned.add(field);
    const actual = fields.get(field) ?? '';
    if (kind === 'eq' ? actual !== value : !actual.startsWith(value)) {
      throw policyError(`Policy Condition failed: ["${kind}", "$${field}", "${value}"]`);
    }
  }
  const extra = [...fields.keys()].filter(
    (field) => !mentioned.has(field) && !EXEMPT.has(field) && !field.startsWith('x-ignore-'),
  );
  if (extra.length > 0) throw policyError(`Extra input fields: ${extra.join(', ')}`);
  return limits;
}

function readPolicy(base64: string): v.InferOutput<typeof policy> {
  try {
    return v.parse(policy, JSON.parse(Buffer.from(base64, 'base64').toString('utf8')));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new S3Error('InvalidPolicyDocument', { message: `Invalid Policy: ${reason}`, cause });
  }
}

const policyError = (reason: string): S3Error =>
  new S3Error('AccessDenied', `Invalid according to Policy: ${reason}`);
