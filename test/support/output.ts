import * as v from 'valibot';
import { onTestFinished, vi } from 'vitest';

/** What this process writes, to standard output and standard error, from now on: JSON lines, or the test fails. */
export function jsonOutput(): () => Record<string, unknown>[] {
  let text = '';
  for (const stream of [process.stdout, process.stderr]) {
    const spy = vi.spyOn(stream, 'write').mockImplementation((chunk) => {
      text += chunk;
      return true;
    });
    onTestFinished(() => spy.mockRestore());
  }
  const Line = v.record(v.string(), v.unknown());
  return () =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => v.parse(Line, JSON.parse(line)));
}
