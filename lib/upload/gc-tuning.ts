import { setFlagsFromString } from 'node:v8';

/**
 * Each chunk that comes from a socket is a young object with 64 KiB outside of the heap. V8 is made for programs with few of
 * those. Measured in docs/explanation/performance.md; set by the code since `NODE_OPTIONS` may not carry these flags. V8 reads them anew
 * at each collection.
 *
 * Not before bytes come: what Node loads of its own modules after this it compiles anew, since its code cache is for other
 * flags. All that a function loads at its start would take 30 ms longer.
 */
export function tuneGarbageCollector(): void {
  // V8 collects the young generation when so much hangs on it as the generation itself may grow to: 64 MiB by default, all
  // of it dead and cold in the processor's cache. With 2 MiB here it collects after some 64 chunks.
  setFlagsFromString('--scavenger-max-new-space-capacity-mb=2');
  // So little is collected sooner by one thread than several are woken.
  setFlagsFromString('--no-parallel-scavenge');
  // Of what outlives a few chunks, such as a part's request, V8 lets 80 MiB gather; here a tenth of what is alive, and no less
  // than V8's least step, some 16 MiB.
  setFlagsFromString('--heap-growing-percent=10');
  // While V8 marks the old generation beside the program it frees no chunk that comes: some 40 MiB each time. All at once it
  // takes 30 to 60 ms, every few seconds.
  setFlagsFromString('--no-incremental-marking');
}
