import { spawn } from 'node:child_process';
import { run } from '../../operate/commands.ts';
import type { Screen } from '../../operate/screen.ts';

/** The operators' commands. */

const main = new URL('../../operate/main.ts', import.meta.url).pathname;

/** As a process of its own, with an environment that knows nothing but `env`. */
export const spawnCommand = (args: readonly string[], env: Record<string, string> = {}) =>
  spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH, AWS_EC2_METADATA_DISABLED: 'true', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });

export type Said = Readonly<{ code: number; out: string[]; err: string[]; bars: string[] }>;

/** As `main.ts` runs it, in this process: a new one would spend most of its time on loading the SDK. */
export async function runCommand(...args: string[]): Promise<Said> {
  const { screen, ...said } = keptScreen();
  const code = await run(args, screen, new AbortController().signal);
  return { code, ...said };
}

/** What a command shows, kept. */
export function keptScreen(isTerminal = false) {
  const out: string[] = [];
  const err: string[] = [];
  const bars: string[] = [];
  const screen: Screen = {
    say: (line) => void out.push(line),
    warn: (line) => void err.push(line),
    progress: (line) => void bars.push(line),
    isTerminal,
    close: () => {},
  };
  return { screen, out, err, bars };
}
