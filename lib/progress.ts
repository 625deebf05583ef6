import { channel } from 'node:diagnostics_channel';
import type { ObjectVersion } from './schemas.ts';

/** What the rooms of lib tell of their work while they do it, to whoever watches in the same process. */

/**
 * How far an object is. `hash`: `done` bytes are hashed, of which `from` were by an earlier invocation. `parts`: `missing`
 * bytes are about to be sent. `part`: `bytes` more were sent.
 */
export type Progress =
  | { stage: 'hash'; pin: ObjectVersion; from: number; done: number }
  | { stage: 'parts'; pin: ObjectVersion; missing: number }
  | { stage: 'part'; pin: ObjectVersion; bytes: number };

/** Requests made again inside an invocation; what the state machine repeats is not among them. */
export type Retries = Readonly<{ of: 'S3' | 'VOD'; count: number }>;

const progress = createChannel<Progress>('s3-vod.progress');
const retries = createChannel<Retries>('s3-vod.retries');

/** Costs nothing where nobody watches. */
export const reportProgress = progress.tell;
/** @returns what ends the watching */
export const watchProgress = progress.watch;

export const reportRetries = retries.tell;
/** @returns what ends the watching */
export const watchRetries = retries.watch;

function createChannel<T>(name: string) {
  const told = channel(name);
  return {
    tell: (message: T): void => {
      if (told.hasSubscribers) told.publish(message);
    },
    watch: (watcher: (message: T) => void): (() => void) => {
      // Only `tell` publishes on this channel.
      const listener = (message: unknown): void => watcher(message as T);
      told.subscribe(listener);
      return () => void told.unsubscribe(listener);
    },
  };
}
