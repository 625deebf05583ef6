import * as v from 'valibot';
import { formatIssues } from '../../lib/schemas.ts';

/** What a service answers with a 400: `type` is the name of the SDK's error. */
export class ApiError extends Error {
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** A call of one service: its parsed JSON in, what becomes JSON out. @throws {ApiError} */
export type Operation = (body: unknown) => unknown;
export type Operations = Readonly<Record<string, Operation>>;

/** @throws {ApiError} naming each field that is wrong */
export function parseBody<const S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, body);
  if (result.success) return result.output;
  throw new ApiError('ValidationException', formatIssues(result.issues));
}
