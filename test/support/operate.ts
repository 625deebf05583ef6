import type { Terminal } from '../../cli/terminal.ts';
import { runCommand as run } from '../../operate/commands.ts';
import { startNode } from './node-process.ts';

/** Starts an operators' command as a process. */
export const spawnCommand = (args: readonly string[], env: Record<string, string> = {}) =>
  startNode('operate/main.ts', args, { env: { AWS_EC2_METADATA_DISABLED: 'true', ...env } });

type Output = Readonly<{ out: string[]; err: string[]; progress: string[] }>;

/** Runs a command in this process. A new process would spend most of its time on loading the SDK. */
export const runCommand = (...args: string[]) => runUntil(new AbortController().signal, ...args);

/** Runs a command that the signal stops. */
export async function runUntil(signal: AbortSignal, ...args: string[]): Promise<Output & { code: number }> {
  const { terminal, ...output } = recordTerminal();
  return { code: await run(args, terminal, signal), ...output };
}

/** A terminal that records what a command prints. */
export function recordTerminal(isInteractive = false): Output & { terminal: Terminal } {
  const out: string[] = [];
  const err: string[] = [];
  const progress: string[] = [];
  const terminal: Terminal = {
    print: (line) => void out.push(line),
    printError: (line) => void err.push(line),
    showProgress: (text) => void progress.push(text),
    isInteractive,
    height: () => 24,
    close: () => {},
  };
  return { terminal, out, err, progress };
}
