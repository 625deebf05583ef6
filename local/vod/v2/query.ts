import type { Params } from '../../../lib/vod/v2/signature.ts';
import { VodError } from './vod-error.ts';

/** The longest legal call is far below 2 KiB; the rest leaves space for tags. */
const MAX_QUERY_BYTES = 8 * 1024;

/**
 * Decodes the parameters of a call. The record has no prototype, so `__proto__` and `constructor` are ordinary names.
 * @throws {VodError} `commonParameters`
 */
export function readQuery(query: string): Params {
  if (query.length > MAX_QUERY_BYTES) {
    throw queryError(`the query string: expected at most ${MAX_QUERY_BYTES} bytes, got ${query.length}`);
  }
  const params: Record<string, string> = Object.create(null);
  for (const pair of query.split('&').filter(Boolean)) {
    const [name = '', ...value] = pair.split('=');
    const key = decode(name);
    if (key === '') throw queryError(`the query string: a value without a name in ${JSON.stringify(pair)}`);
    if (key in params) throw queryError(`${key}: given more than once`);
    params[key] = decode(value.join('='));
  }
  return params;
}

/** `+` is a space, as in every form decoder. The old SDKs encode either way. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (cause) {
    const excerpt = JSON.stringify(text.slice(0, 60));
    throw queryError(`the query string: ${excerpt} is not percent-encoded UTF-8`, { cause });
  }
}

const queryError = (message: string, options?: ErrorOptions) =>
  new VodError('commonParameters', message, options);
