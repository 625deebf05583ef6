import { channel } from 'node:diagnostics_channel';
import type { Pin } from './job.ts';

/**
 * How far an object is. `hash`: `done` bytes are hashed, of which `from` were by an earlier invocation. `parts`: `missing`
 * bytes are about to be sent. `part`: `bytes` more were sent.
 */
export type Progress =
  | { stage: 'hash'; pin: Pin; from: number; done: number }
  | { stage: 'parts'; pin: Pin; missing: number }
  | { stage: 'part'; pin: Pin; bytes: number };

const steps = channel('s3-vod.progress');

/** Tells whoever watches in the same process; in the cloud nobody does, and it costs nothing. */
export const report = (step: Progress): void => {
  if (steps.hasSubscribers) steps.publish(step);
};

/** @returns what ends the watching */
export function watchProgress(watcher: (step: Progress) => void): () => void {
  // Only `report` publishes on this channel.
  const listener = (message: unknown): void => watcher(message as Progress);
  steps.subscribe(listener);
  return () => void steps.unsubscribe(listener);
}
