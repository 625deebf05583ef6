import type { Fault } from '../../fault-injection.ts';
import type { VodResponse } from './vod-error.ts';

type FaultResponse = Readonly<{ status: number; text: string }>;

const errorResponse = (code: number, canRetry: 0 | 1): FaultResponse => ({
  status: 200,
  text: JSON.stringify({ code, message: 'injected fault', codeDesc: 'fault', canRetry }),
});

/** The responses to injected faults, for which the call is not executed. See `local/fault-injection.ts`. */
export const FAULT_RESPONSES: Partial<Record<Fault, FaultResponse>> = {
  '500': { status: 500, text: 'Internal Server Error' },
  '503': { status: 503, text: 'SlowDown' },
  '429': { status: 429, text: 'Too Many Requests' },
  rejected: errorResponse(-10099, 0),
  retryable: errorResponse(-10099, 1),
  '4400': errorResponse(4400, 1),
  '4500': errorResponse(4500, 0),
  '6000': errorResponse(6000, 1),
  'parts-not-visible': errorResponse(5100, 0),
  'not-json': { status: 200, text: '<html><body>Bad gateway</body></html>' },
};

/** Writes a response as JSON, with the injected fault if there is one. */
export function writeResponse(response: VodResponse, fault: Fault | undefined): string {
  if (fault === 'no-data-size') return JSON.stringify({ ...response, dataSize: undefined });
  if (fault === 'parts-unlisted' && Array.isArray(response.listParts)) {
    return JSON.stringify({ ...response, listParts: response.listParts.filter((_, n) => n % 2 === 0) });
  }
  const text = JSON.stringify(response);
  return fault === 'truncated-json' ? text.slice(0, text.length >> 1) : text;
}
