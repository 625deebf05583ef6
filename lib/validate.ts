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
  throw new InvalidInput(`${what}: ${formatIssues(result.issues)}`);
}

/** Characters of one issue, and issues: what is wrong may be of any size, and what is said of it ends up in logs and histories. */
const LIMITS = { characters: 200, issues: 10 };

/** The issues of a failed parse in one line: `options.classId: Invalid type: Expected number but received "x"`. */
export function formatIssues(issues: readonly v.BaseIssue<unknown>[]): string {
  const lines = issues.map((issue) => {
    const path = v.getDotPath(issue);
    return truncate(path ? `${path}: ${issue.message}` : issue.message, LIMITS.characters);
  });
  const told = [...new Set(lines)];
  const more = told.length - LIMITS.issues;
  return [...told.slice(0, LIMITS.issues), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

/** The beginning of a text that somebody else wrote. */
export const truncate = (text: string, characters = 80): string =>
  text.length > characters ? `${text.slice(0, characters)}…` : text;
