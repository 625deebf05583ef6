import * as v from 'valibot';
import { onTestFinished, vi } from 'vitest';

/** Captures the output of this process on both streams until the test ends. Every line must be a JSON object. */
export function captureJsonLines(): () => Record<string, unknown>[] {
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
