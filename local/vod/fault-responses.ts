import type { Fault } from '../fault-injection.ts';
import type { Reply } from './vod-error.ts';

/** What this service says when it is told to fail; see `local/fault-injection.ts` for what each is. */
export type FaultResponse = Readonly<{ status: number; text: string }>;

const said = (code: number, canRetry: 0 | 1): FaultResponse => ({
  status: 200,
  text: JSON.stringify({ code, message: 'as the fault switches say', codeDesc: 'fault', canRetry }),
});

const INSTEAD: Partial<Record<Fault, FaultResponse>> = {
  '500': { status: 500, text: 'Internal Server Error' },
  '503': { status: 503, text: 'SlowDown' },
  '429': { status: 429, text: 'Too Many Requests' },
  rejected: said(-10099, 0),
  retryable: said(-10099, 1),
  '4400': said(4400, 1),
  '4500': said(4500, 0),
  '6000': said(6000, 1),
  'parts-not-visible': said(5100, 0),
  'not-json': { status: 200, text: '<html><body>Bad gateway</body></html>' },
};

/** What is said without anything being done. */
export const faultResponse = (fault: Fault | undefined): FaultResponse | undefined => fault && INSTEAD[fault];

/** A reply as it is written, or miswritten. */
export function writeResponse(reply: Reply, fault: Fault | undefined): string {
  if (fault === 'no-data-size') return JSON.stringify({ ...reply, dataSize: undefined });
  if (fault === 'parts-unlisted' && Array.isArray(reply.listParts)) {
    return JSON.stringify({ ...reply, listParts: reply.listParts.filter((_, n) => n % 2 === 0) });
  }
  const text = JSON.stringify(reply);
  return fault === 'truncated-json' ? text.slice(0, text.length >> 1) : text;
}
