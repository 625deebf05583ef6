import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { JsonStore } from '../cli/json-store.ts';
import { NonNegativeInt } from '../lib/schemas.ts';

/** The progress of a backfill, on disk. Every key up to `after` is classified, and the pending ones are started. */
const Checkpoint = v.object({
  stateMachineArn: v.string(),
  bucket: v.string(),
  prefix: v.string(),
  /** When the backfill began. It is part of the execution names, so a continued run starts nothing twice. */
  began: v.string(),
  after: v.optional(v.string()),
  started: NonNegativeInt,
  uploaded: NonNegativeInt,
  skipped: NonNegativeInt,
  rejected: NonNegativeInt,
});
export type Checkpoint = v.InferOutput<typeof Checkpoint>;

export type CheckpointFile = ReturnType<typeof openCheckpoint>;

/** The checkpoint file of this stack, bucket, and prefix in folder `dir`. */
export function openCheckpoint(
  dir: string,
  { stateMachineArn, bucket, prefix }: Pick<Checkpoint, 'stateMachineArn' | 'bucket' | 'prefix'>,
) {
  const identity = JSON.stringify([stateMachineArn, bucket, prefix]);
  const name = `${bucket}-${createHash('sha256').update(identity).digest('hex').slice(0, 16)}`;
  const store = new JsonStore(dir, Checkpoint);
  return {
    path: join(dir, `${name}.json`),
    read: () => store.get(name),
    write: (checkpoint: Checkpoint) => store.put(name, checkpoint),
    remove: () => store.delete(name),
  };
}
