import type { Action } from '../../lib/quota/quota.ts';
import { PARTS_IN_FLIGHT } from '../../lib/vod/v2/target.ts';
import { partsInFlight, planUpload } from '../../lib/vod/v2018/limits.ts';
import { OBJECT_REQUESTS_PER_SECOND } from '../../lib/vod/v2018/pace.ts';
import type { Api } from '../messages.ts';
import { FUNCTION, MiB, VOD } from './model.ts';

/** The differences between the APIs in the model of the steps. */
export type ApiModel = Readonly<{
  needsSha1: boolean;
  /** The names of the calls in the quota. Without `part`, no quota limits the parts. */
  actions: Readonly<{ open: Action; part?: Action; close: Action }>;
  /** @param partFunctions those of one object at most */
  layout(size: number, partFunctions: number): { partSize: number; functions: number };
  partsInFlight(partSize: number): number;
  /** The most parts of one object in a second. */
  partsPerSecond: number;
  /** CPU of a whole core to read, check, encrypt, and send one MiB. */
  sendMsPerMiB: number;
  /** The quota of the account. */
  quota: Readonly<{ callsPerMinute: number; partsPerMinute: number }>;
}>;

const UNLIMITED = Number.POSITIVE_INFINITY;

export const API_MODELS: Readonly<Record<Api, ApiModel>> = {
  '2.0': {
    needsSha1: true,
    actions: { open: 'InitUpload', part: 'UploadPart', close: 'FinishUpload' },
    layout: (_, functions) => ({ partSize: MiB, functions }),
    partsInFlight: () => PARTS_IN_FLIGHT,
    partsPerSecond: UNLIMITED,
    sendMsPerMiB: FUNCTION.sendMsPerMiB,
    quota: { callsPerMinute: VOD.callsPerMinute, partsPerMinute: VOD.partsPerMinute },
  },
  '2018-07-17': {
    needsSha1: false,
    actions: { open: 'ApplyUpload', close: 'CommitUpload' },
    layout: planUpload,
    partsInFlight,
    partsPerSecond: OBJECT_REQUESTS_PER_SECOND,
    sendMsPerMiB: FUNCTION.sendMsPerMiB + FUNCTION.crcMsPerMiB,
    quota: { callsPerMinute: UNLIMITED, partsPerMinute: UNLIMITED },
  },
};
