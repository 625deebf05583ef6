import { setFlagsFromString } from 'node:v8';

/**
 * V8 flags that keep a function within its memory budget: at most 256 MiB, and at most 10 % more for 10 GiB than for 1 GiB. Each
 * chunk from a socket is a young object with 64 KiB outside the heap, and V8's defaults expect few of those. Without the
 * second or the third flag, uploads of 4 GiB exceed the 10 % (`npm run bench -- memory`).
 */
export const GC_FLAGS = [
  // V8 collects the young generation when the memory outside the heap reaches the maximum size of that generation, by default
  // 64 MiB. All of it is dead by then, and cold in the processor's cache. With 2 MiB, V8 collects after some 64 chunks.
  '--scavenger-max-new-space-capacity-mb=2',
  // Longer-lived objects, such as the request of a part, may grow by 80 MiB before V8 collects them. With this flag they may grow
  // by a tenth of the live size, and by V8's smallest step of about 16 MiB.
  '--heap-growing-percent=10',
  // While V8 marks the old generation incrementally, it frees no new chunks: some 40 MiB each time. Marking without interruption
  // takes 30 to 60 ms every few seconds.
  '--no-incremental-marking',
];

/**
 * Applies the flags to the running process. Call it after all modules are loaded: V8's code cache depends on the flags, and Node
 * would compile its own modules again, which takes 30 ms.
 *
 * Node warns that flags set after the start can crash the process. V8 reads these three again at each collection. They are
 * not set earlier because NODE_OPTIONS rejects them, and Lambda has no other way to pass flags to its runtime:
 * https://nodejs.org/api/cli.html#node_optionsoptions
 */
export function tuneGarbageCollector(): void {
  for (const flag of GC_FLAGS) setFlagsFromString(flag);
}
