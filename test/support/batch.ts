import { afterEach, expect } from 'vitest';
import type { ObjectVersion, PartInput, PartOutput } from '../../lib/schemas.ts';
import { decodeBatch, encodeBatch, partRange } from '../../lib/upload/plan.ts';
import type { VodClient } from '../../lib/vod/v2/client.ts';
import { createBytes, sha1 } from './values.ts';

/** A video of 60 parts of 100 bytes, with a shorter last part, and a VOD that receives them. */

export const film = createBytes(5_970);
const session = sha1(film);
const bounds = { size: film.length, partSize: 100 };
export const ALL: readonly number[] = Array.from({ length: 60 }, (_, part) => part);

export const bytesIn = (parts: readonly number[]): number =>
  parts.reduce((sum, part) => sum + partRange(part, bounds).size, 0);

export const inputFor = (
  pin: ObjectVersion,
  parts: readonly number[],
  more: Partial<PartInput> = {},
): PartInput => {
  const start = {
    execution: 'its name',
    sent: { parts: 0, bytes: 0 },
    pin,
    upload: { ...bounds, session, functions: 1 },
  };
  return { ...start, batch: encodeBatch(parts), ...more };
};

export const remainingParts = ({ batch }: PartOutput): number[] => (batch ? decodeBatch(batch) : []);

/** Creates VOD clients that accept a part unless `act` throws. A test fails if an accepted part has wrong bytes. */
export function useFakeVod() {
  const wrong: number[] = [];
  afterEach(() => expect(wrong.splice(0)).toEqual([]));

  return (act: (part: number, bytes: Uint8Array, signal: AbortSignal) => Promise<void> = async () => {}) => {
    const accepted: number[] = [];
    const started: number[] = [];
    const inFlight = { now: 0, most: 0 };
    const uploadPart: VodClient['uploadPart'] = async (hash, { offset, size }, bytes, signal) => {
      const part = offset / bounds.partSize;
      started.push(part);
      inFlight.most = Math.max(inFlight.most, ++inFlight.now);
      try {
        await act(part, bytes, signal);
        const isCorrect = hash === session && film.subarray(offset, offset + size).equals(bytes);
        (isCorrect ? accepted : wrong).push(part);
      } finally {
        inFlight.now--;
      }
    };
    return { vod: { uploadPart }, accepted, started, inFlight };
  };
}
