import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';

/** Peak of the memory outside the heap, in bytes, while a new process allocates and drops chunks of 256 MiB in total. */
function measurePeak(setup: string): number {
  const script = `
    import { setImmediate } from 'node:timers/promises';
    ${setup}
    let peak = 0;
    for (let n = 0; n < 4096; n++) {
      Buffer.allocUnsafeSlow(64 * 1024);
      await setImmediate();
      peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    }
    console.log(peak);`;
  return Number(
    execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' }),
  );
}

describe('tuneGarbageCollector', () => {
  test('collects dead chunks before they fill the memory', () => {
    const module = new URL('../../../lib/upload/gc-tuning.ts', import.meta.url).href;
    const tuned = measurePeak(`import { tuneGarbageCollector } from '${module}'; tuneGarbageCollector();`);
    // 8 MiB; on a busy machine, where V8 sweeps late, 16 MiB. V8's defaults reach 36 to 50 MiB.
    expect(tuned).toBeLessThan(24 * 1024 * 1024);
  });

  test('is still needed: V8 does not collect early by default', () => {
    expect(measurePeak('')).toBeGreaterThan(30 * 1024 * 1024);
  });
});
