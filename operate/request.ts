import { errorMessage } from '../lib/errors.ts';

/** Advice by the name, the code, or the message of an SDK error. */
const HINTS: readonly [RegExp, string][] = [
  [
    /^CredentialsProviderError$/,
    'Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --local needs no account.',
  ],
  [/Region is missing/, 'Set --region or AWS_REGION; --local needs none.'],
  [/ExpiredToken|TokenRefreshRequired/, 'Log in again.'],
  [
    /AccessDenied|UnauthorizedOperation|UnrecognizedClient|InvalidClientTokenId|InvalidSignature/,
    'Check the credentials and their policy.',
  ],
  [/ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|TimeoutError/, 'Check the network and --region.'],
  [/^NoSuchBucket$/, 'Check the name of the bucket.'],
  [/^NotImplemented$/, 'This store does not support EventBridge.'],
];

/** Sends one request to AWS. @throws {Error} in one line: the operation, the reason, and advice */
export async function sendAws<T>(operation: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') throw error;
    const reason = errorMessage(error);
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const texts = [error instanceof Error ? error.name : '', code, reason];
    const hint = HINTS.find(([pattern]) => texts.some((text) => pattern.test(text)))?.[1];
    const message = `${operation}: ${reason.replace(/\.$/, '')}`;
    throw new Error(hint ? `${message}. ${hint}` : message, { cause: error });
  }
}
