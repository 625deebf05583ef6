import type { VodSettings } from '../../config.ts';
import { describeError } from './responses.ts';
import { createTransport, type VodCall } from './transport.ts';

/** A `FinishUpload` without its SHA-1 can neither open nor finish an upload. */
const CALL: VodCall = { action: 'FinishUpload', target: 'without parameters', params: {} };

/** VOD checks the account and the signature before the parameters. */
const PARAMETER_CODES = new Set([-10003, 4000, 5000, 5100]);

/**
 * Sends a signed call that changes nothing.
 * @returns why VOD rejects the keys, or undefined if it accepts their signature and rejects only the parameters
 * @throws {VodUnavailable} {VodRejected} if there is no response of VOD, and the reason of the signal
 */
export async function whyKeysAreRejected(
  settings: VodSettings,
  signal: AbortSignal,
): Promise<string | undefined> {
  const transport = createTransport(settings);
  try {
    const { response } = await transport.send(CALL, signal);
    return PARAMETER_CODES.has(response.code) ? undefined : describeError(response);
  } finally {
    transport.close();
  }
}
