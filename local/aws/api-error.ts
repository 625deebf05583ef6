import * as v from 'valibot';
import { formatIssues } from '../../lib/schemas.ts';

/** An error that a service returns with status 400. `type` is the name of the SDK's error class. */
export class ApiError extends Error {
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** One API action: takes the parsed JSON body, returns the value of the JSON response. @throws {ApiError} */
export type Operation = (body: unknown) => unknown;
export type Operations = Readonly<Record<string, Operation>>;

/** @throws {ApiError} `ValidationException` that names each invalid field */
export function parseBody<const S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, body);
  if (result.success) return result.output;
  throw new ApiError('ValidationException', formatIssues(result.issues));
}
