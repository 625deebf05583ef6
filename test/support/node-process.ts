import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

/** The processes that tests start load the same modules. With this cache, each starts in two thirds of the CPU time. */
const NODE_COMPILE_CACHE = join(import.meta.dirname, '../../node_modules/.cache/node-compile');

/** Longer than any test. A process that hangs is killed. */
const TIMEOUT_MS = 120_000;

export type NodeProcess = ChildProcess & { stdout: Readable; stderr: Readable };

/** `preload`: a module that is loaded before the script and can write to file descriptor 3. */
export type NodeOptions = Readonly<{ env?: Record<string, string>; preload?: string }>;

/** Starts a script of the project, named by its path from the root, whose settings are those of `env` alone. */
export function startNode(
  script: string,
  args: readonly string[],
  { env = {}, preload }: NodeOptions = {},
): NodeProcess {
  const path = join(import.meta.dirname, '../..', script);
  return spawn(process.execPath, [...(preload ? ['--import', preload] : []), path, ...args], {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE, ...env },
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe', ...(preload ? (['pipe'] as const) : [])],
  }) as NodeProcess;
}

/** Waits until a process exits. Returns its output and exit code. */
export async function collectResult(child: NodeProcess) {
  const closed = once(child, 'close');
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  return { code, out, err };
}
