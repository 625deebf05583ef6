import { afterEach, expect } from 'vitest';
import type { ObjectVersion, PartInput, PartOutput } from '../../lib/schemas.ts';
import { decodeBatch, encodeBatch, partRange } from '../../lib/upload/plan.ts';
import type { VodClient } from '../../lib/vod/client.ts';
import { createBytes, sha1 } from './values.ts';

/** A film in sixty small parts, of 100 bytes, the last one shorter; and a VOD that takes them. */

export const film = createBytes(5_970);
export const bounds = { sha1: sha1(film), size: film.length, partSize: 100 };
export const ALL: readonly number[] = Array.from({ length: 60 }, (_, part) => part);

export const bytesIn = (parts: readonly number[]): number =>
  parts.reduce((sum, part) => sum + partRange(part, bounds).size, 0);

export const inputFor = (
  pin: ObjectVersion,
  parts: readonly number[],
  more: Partial<PartInput> = {},
): PartInput => {
  const start = { execution: 'its name', sent: { parts: 0, bytes: 0 }, pin, upload: bounds };
  return { ...start, batch: encodeBatch(parts), ...more };
};

export const left = ({ batch }: PartOutput): number[] => (batch ? decodeBatch(batch) : []);

/** A VOD that takes a part when `act` lets it. It expects the very bytes of its place, and the test fails otherwise. */
export function useTaking() {
  const wrong: string[] = [];
  afterEach(() => expect(wrong.splice(0)).toEqual([]));

  return (act: (part: number, bytes: Uint8Array, signal: AbortSignal) => Promise<void> = async () => {}) => {
    const taken: number[] = [];
    const begun: number[] = [];
    const flight = { now: 0, most: 0 };
    const uploadPart: VodClient['uploadPart'] = async (hash, { offset, size }, bytes, signal) => {
      const part = offset / bounds.partSize;
      begun.push(part);
      flight.most = Math.max(flight.most, ++flight.now);
      try {
        await act(part, bytes, signal);
        const right = film.subarray(offset, offset + size);
        if (hash !== bounds.sha1 || !right.equals(bytes)) wrong.push(`part ${part} came with other bytes`);
        taken.push(part);
      } finally {
        flight.now--;
      }
    };
    return { vod: { uploadPart }, taken, begun, flight };
  };
}
