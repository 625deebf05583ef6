import type { Fault } from '../../fault-injection.ts';

type FaultResponse = Readonly<{ status: number; text: string }>;

const errorResponse = (Code: string): FaultResponse => ({
  status: 200,
  text: JSON.stringify({ Response: { Error: { Code, Message: 'injected fault' }, RequestId: 'fault' } }),
});

/** The responses to injected faults, for which the call is not executed. See `local/fault-injection.ts`. */
export const FAULT_RESPONSES: Partial<Record<Fault, FaultResponse>> = {
  '500': { status: 500, text: 'Internal Server Error' },
  '503': { status: 503, text: 'Service Unavailable' },
  '429': { status: 429, text: 'Too Many Requests' },
  rejected: errorResponse('FailedOperation'),
  'limit-exceeded': errorResponse('RequestLimitExceeded'),
  'internal-error': errorResponse('InternalError'),
  'not-json': { status: 200, text: '<html><body>Bad gateway</body></html>' },
};
