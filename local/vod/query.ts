import type { Params } from '../../lib/vod/signature.ts';
import { VodError } from './vod-error.ts';

/** The longest legal call is far below 2 KiB; the rest is room for tags. */
const LONGEST_QUERY = 8 * 1024;

/**
 * The parameters of a call, decoded. The record has no prototype, so that `__proto__` and `constructor` are names
 * like any other.
 */
export function readQuery(query: string): Params {
  if (query.length > LONGEST_QUERY) {
    throw refused(`the query string: expected at most ${LONGEST_QUERY} bytes, got ${query.length}`);
  }
  const params: Record<string, string> = Object.create(null);
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const cut = pair.indexOf('=');
    const name = decode(cut < 0 ? pair : pair.slice(0, cut));
    if (name === '') throw refused(`the query string: a value without a name in ${JSON.stringify(pair)}`);
    if (name in params) throw refused(`${name}: given more than once`);
    params[name] = cut < 0 ? '' : decode(pair.slice(cut + 1));
  }
  return params;
}

/** `+` is a space, as in every form decoder: the old SDKs' languages encode either way. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (cause) {
    const shown = JSON.stringify(text.slice(0, 60));
    throw new VodError('commonParameters', `the query string: ${shown} is not percent-encoded UTF-8`, {
      cause,
    });
  }
}

const refused = (message: string) => new VodError('commonParameters', message);
