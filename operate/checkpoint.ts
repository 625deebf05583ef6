import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { JsonStore } from '../cli/json-store.ts';

/** How far a backfill came, on disk: all keys up to `after` were looked at, and those wanted were started. */

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const Checkpoint = v.object({
  stateMachineArn: v.string(),
  bucket: v.string(),
  prefix: v.string(),
  /** When the run began: it names the occasion, so that going on starts nothing twice. */
  began: v.string(),
  after: v.optional(v.string()),
  started: Count,
  carried: Count,
  skipped: Count,
  refused: Count,
});
export type Checkpoint = v.InferOutput<typeof Checkpoint>;

export type Checkpoints = Readonly<{
  file: string;
  read(): Checkpoint | undefined;
  write(checkpoint: Checkpoint): void;
  remove(): void;
}>;

/** The file for this bucket and prefix of this stack, in folder `dir`. */
export function checkpointsOf(
  dir: string,
  of: Pick<Checkpoint, 'stateMachineArn' | 'bucket' | 'prefix'>,
): Checkpoints {
  const { stateMachineArn, bucket, prefix } = of;
  const identity = JSON.stringify([stateMachineArn, bucket, prefix]);
  const name = `${bucket}-${createHash('sha256').update(identity).digest('hex').slice(0, 16)}`;
  const journal = new JsonStore(dir, Checkpoint);
  return {
    file: join(dir, `${name}.json`),
    read: () => journal.get(name),
    write: (checkpoint) => journal.put(name, checkpoint),
    remove: () => journal.delete(name),
  };
}
