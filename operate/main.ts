import { run } from './commands.ts';
import { createScreen } from './screen.ts';

/** `npm run invoke | replay | redrive | backfill` */

/** What is in flight may take so long to settle after Ctrl-C. */
const STOP_MS = 5_000;

const stop = new AbortController();
// Each time, since npm sends a second Ctrl-C after the terminal's own: it is nothing new.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    stop.abort(new Error('stopped'));
    setTimeout(() => process.exit(130), STOP_MS).unref();
  });
}

const screen = createScreen(process.stdout, process.stderr);
process.exitCode = await run(process.argv.slice(2), screen, stop.signal);
screen.close();
