import * as v from 'valibot';
import { InvalidInput } from './errors.ts';

/**
 * What a schema makes of `value`, at a door of the chain.
 * @throws {InvalidInput} naming `what` it is and each field that is wrong.
 */
export function parse<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new InvalidInput(`${what}: ${explain(result.issues)}`);
}

/** The issues of a failed parse in one line: `options.classId: Invalid type: Expected number but received "x"`. */
export function explain(issues: readonly v.BaseIssue<unknown>[]): string {
  const lines = issues.map((issue) => {
    const path = v.getDotPath(issue);
    return path ? `${path}: ${issue.message}` : issue.message;
  });
  return [...new Set(lines)].join('; ');
}
