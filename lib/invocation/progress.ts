import { channel } from 'node:diagnostics_channel';
import type { ObjectVersion } from '../schemas.ts';

/** Lets other code in the process observe the work of `lib`, for metrics and the terminal. */

/**
 * `wait`: other objects come first. `hash`: `done` bytes are hashed; an earlier invocation hashed `from` of them. `parts`:
 * `missing` bytes are about to be sent. `part`: `bytes` more bytes were sent.
 */
export type Progress =
  | { stage: 'wait'; pin: ObjectVersion }
  | { stage: 'hash'; pin: ObjectVersion; from: number; done: number }
  | { stage: 'parts'; pin: ObjectVersion; missing: number }
  | { stage: 'part'; pin: ObjectVersion; bytes: number };

/** Requests repeated inside an invocation. Retries by the state machine do not count. */
export type Retries = Readonly<{ of: 'S3' | 'VOD'; count: number }>;

/** `watch*` functions return a function that unsubscribes. Without subscribers, a report costs nothing. */
export const { publish: reportProgress, subscribe: watchProgress } =
  createChannel<Progress>('s3-vod.progress');
export const { publish: reportRetries, subscribe: watchRetries } = createChannel<Retries>('s3-vod.retries');

function createChannel<T>(name: string) {
  const subscribers = channel(name);
  return {
    publish: (message: T): void => {
      if (subscribers.hasSubscribers) subscribers.publish(message);
    },
    subscribe: (onMessage: (message: T) => void): (() => void) => {
      // Only `publish` above writes to this channel.
      const listener = (message: unknown): void => onMessage(message as T);
      subscribers.subscribe(listener);
      return () => void subscribers.unsubscribe(listener);
    },
  };
}
