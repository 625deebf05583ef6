import { replaceControls, style } from '../cli/format.ts';
import type { Terminal } from '../cli/terminal.ts';
import type { Doctor } from './args.ts';
import { gatherFacts } from './doctor/facts.ts';
import { findingsOf } from './doctor/findings.ts';
import { findStack } from './stack.ts';

/** `npm run doctor`: checks an account and a stack. @returns the exit code: 1 if a check failed */
export async function doctor(
  { target, json }: Doctor,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const stack = await findStack(target);
  const findings = findingsOf(await gatherFacts(stack, 'local' in target, signal));
  const width = Math.max(...findings.map(({ check }) => check.length));
  for (const { check, ok, message } of findings) {
    const text = replaceControls(message);
    if (json) terminal.print(JSON.stringify({ check, ok, message: text }));
    else terminal.print(`${ok ? style('green', '✔') : style('red', '✘')} ${check.padEnd(width)}  ${text}`);
  }
  return findings.every(({ ok }) => ok) ? 0 : 1;
}
