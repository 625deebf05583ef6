import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

export type ProcessResult = Readonly<{ code: number | null; out: string; err: string }>;

/** What a process that ends by itself has said, and its exit code. */
export async function collectResult(
  child: ChildProcess & { stdout: Readable; stderr: Readable },
): Promise<ProcessResult> {
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { code, out, err };
}
