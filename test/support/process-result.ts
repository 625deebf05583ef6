import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

export type ProcessResult = Readonly<{ code: number | null; out: string; err: string }>;

/** Waits until a process exits. Returns its output and exit code. */
export async function collectResult(
  child: ChildProcess & { stdout: Readable; stderr: Readable },
): Promise<ProcessResult> {
  const closed = once(child, 'close');
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { code, out, err };
}
