import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** What hangs on the young generation at most, in bytes, while 256 MiB of chunks come and are dropped. */
function peak(prepare: string): number {
  const script = `
    import { setImmediate } from 'node:timers/promises';
    ${prepare}
    let most = 0;
    for (let n = 0; n < 4096; n++) {
      Buffer.allocUnsafeSlow(64 * 1024);
      await setImmediate();
      most = Math.max(most, process.memoryUsage().arrayBuffers);
    }
    console.log(most);`;
  return Number(
    execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' }),
  );
}

test('dead chunks are collected before they fill the memory', () => {
  const heap = new URL('../../../lib/upload/gc-tuning.ts', import.meta.url).href;
  const ours = peak(`import { tuneGarbageCollector } from '${heap}'; tuneGarbageCollector();`);
  // 8 MiB, and on a busy machine, where what is dead is swept late, 16; without it 36 to 50.
  expect(ours).toBeLessThan(24 * 1024 * 1024);
  expect(peak('')).toBeGreaterThan(30 * 1024 * 1024); // else V8 has learned it, and lib/upload/gc-tuning.ts may go
});
