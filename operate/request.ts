import { errorMessage } from '../lib/errors.ts';

/** What to do about it, by the name of the SDK's error. */
const HINTS: readonly [RegExp, string][] = [
  [
    /^CredentialsProviderError$/,
    'set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --local needs no account',
  ],
  [/Region is missing/, 'name it with --region or AWS_REGION; --local needs none'],
  [/ExpiredToken|TokenRefreshRequired/, 'log in again'],
  [
    /AccessDenied|UnauthorizedOperation|UnrecognizedClient|InvalidClientTokenId|InvalidSignature/,
    'check whose credentials these are, and their policy',
  ],
  [
    /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|TimeoutError/,
    'nobody answers there: check the network, and --region',
  ],
];

/** One request to AWS; what goes wrong is told in one line: what was tried, what came, what to do. */
export async function sendAws<T>(what: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') throw error;
    const reason = errorMessage(error);
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const named = [error instanceof Error ? error.name : '', code, reason];
    const hint = HINTS.find(([pattern]) => named.some((text) => pattern.test(text)))?.[1];
    throw new Error([what, reason.replace(/\.$/, ''), hint].filter(Boolean).join(': '), { cause: error });
  }
}
