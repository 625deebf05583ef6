import * as v from 'valibot';
import { type Bounds, MAX_BODY } from './body.ts';
import { S3Error } from './errors.ts';

const text = v.pipe(v.union([v.string(), v.number()]), v.transform(String));

const policy = v.object({
  expiration: v.pipe(v.string(), v.isoTimestamp(), v.transform(Date.parse)),
  conditions: v.array(
    v.union([
      v.pipe(
        v.tuple([v.literal('content-length-range'), v.number(), v.number()]),
        v.transform(([, least, most]) => ({ kind: 'length' as const, least, most })),
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

/** Fields a policy need not mention. */
const EXEMPT = new Set(['policy', 'x-amz-signature', 'file', 'bucket']);

/**
 * Checks a form against its policy, whose signature has been verified. `fields` are by lower-case name, `bucket` is one
 * of them. Returns how long the file may be.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
 */
export function checkPolicy(base64: string, fields: ReadonlyMap<string, string>, now: Date): Bounds {
  const { expiration, conditions } = readPolicy(base64);
  if (expiration < now.getTime()) throw refused('Policy expired.');
  let bounds: Bounds = { least: 0, most: MAX_BODY };
  const mentioned = new Set<string>();
  for (const condition of conditions) {
    if (condition.kind === 'length') {
      bounds = { least: condition.least, most: Math.min(condition.most, MAX_BODY) };
      continue;
    }
    const { kind, field, value } = condition;
    mentioned.add(field);
    const given = fields.get(field) ?? '';
    if (kind === 'eq' ? given !== value : !given.startsWith(value)) {
      throw refused(`Policy Condition failed: ["${kind}", "$${field}", "${value}"]`);
    }
  }
  const extra = [...fields.keys()].filter(
    (field) => !mentioned.has(field) && !EXEMPT.has(field) && !field.startsWith('x-ignore-'),
  );
  if (extra.length > 0) throw refused(`Extra input fields: ${extra.join(', ')}`);
  return bounds;
}

function readPolicy(base64: string): v.InferOutput<typeof policy> {
  try {
    return v.parse(policy, JSON.parse(Buffer.from(base64, 'base64').toString('utf8')));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new S3Error('InvalidPolicyDocument', `Invalid Policy: ${reason}`, { cause });
  }
}

const refused = (reason: string): S3Error =>
  new S3Error('AccessDenied', `Invalid according to Policy: ${reason}`);
