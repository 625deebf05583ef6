import { validateHeaderName, validateHeaderValue } from 'node:http';
import { S3Error } from './errors.ts';

/** Headers of a request, by lower-case name. */
export type RequestHeaders = Readonly<Record<string, string | undefined>>;

/** Headers that an object stores and a response returns unchanged, by lower-case name. */
export type StoredHeaders = Readonly<Record<string, string>>;

/**
 * Checks that a response can carry these headers. Values from a form or a query may contain anything.
 * @throws {S3Error} `InvalidArgument`
 */
export function checkHeaders(headers: StoredHeaders): void {
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch (cause) {
      throw new S3Error('InvalidArgument', { message: `${name} cannot be sent as a header`, cause });
    }
  }
}
