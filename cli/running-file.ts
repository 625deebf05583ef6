import * as v from 'valibot';
import { isLocked } from './data-lock.ts';
import { JsonStore } from './json-store.ts';

/** The name of the local stack. A deployed stack is named `s3-vod-STAGE`. */
export const LOCAL_STACK = 's3-vod-local';

/** The credentials of the local S3. */
export const LOCAL_S3_CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local-secret' } as const;

/** The default keys of the local VOD. */
export const LOCAL_VOD_SECRETS = { VOD_SECRET_ID: 'local-id', VOD_SECRET_KEY: 'local-key' } as const;

/** The endpoints of a running local stack. The operators' commands find them in its data folder. */
const Running = v.object({
  /** The endpoint of the local AWS services; `local/aws/server.ts`. */
  engine: v.string(),
  region: v.string(),
  /** `isLocal`: the local S3, which has the credentials above. */
  s3: v.object({ endpoint: v.string(), isLocal: v.boolean() }),
});
export type Running = v.InferOutput<typeof Running>;

const NAME = 'running';

/** @returns a function that removes the file */
export function writeRunningFile(data: string, running: Running): () => void {
  const store = new JsonStore(data, Running);
  store.put(NAME, running);
  return () => store.delete(NAME);
}

/** A killed stack leaves its file behind. The lock of the folder shows whether the stack is running. */
export async function findRunning(data: string): Promise<Running | undefined> {
  return (await isLocked(data)) ? new JsonStore(data, Running).get(NAME) : undefined;
}
