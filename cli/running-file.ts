import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { isLocked } from './data-lock.ts';
import { JsonStore } from './json-store.ts';

/** How the stack that runs on a data folder is reached: told in a small file there, for the operators' commands. */

/** The stack's name, in the place of the deployment's `s3-vod-STAGE`. */
export const LOCAL_STACK = 's3-vod-local';

/** Of the built-in S3. */
export const LOCAL_S3_CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local-secret' } as const;

const Running = v.object({
  /** Answers the AWS calls of the operators; `local/aws/server.ts`. */
  engine: v.string(),
  region: v.string(),
  /** `isLocal`: the built-in one, whose keys everybody knows. */
  s3: v.object({ endpoint: v.string(), isLocal: v.boolean() }),
});
export type Running = v.InferOutput<typeof Running>;

const NAME = 'running';

/** @returns what takes it back */
export function writeRunningFile(data: string, running: Running): () => void {
  const journal = new JsonStore(data, Running);
  journal.put(NAME, running);
  return () => journal.delete(NAME);
}

/** A killed process leaves its file behind; only the one that holds the folder is there to be asked. */
export async function findRunning(data: string): Promise<Running | undefined> {
  if (!existsSync(data) || !(await isLocked(data))) return undefined;
  return new JsonStore(data, Running).get(NAME);
}
