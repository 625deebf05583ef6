import type { WriteStream } from 'node:tty';
import { createLogUpdate } from 'log-update';

/** What people see: lines that stay, and on a terminal one below them that changes. */
export type Screen = Readonly<{
  /** A line of the result, on standard output. */
  say(line: string): void;
  /** A line of what went wrong, on standard error. */
  warn(line: string): void;
  /** Redraws the last line; where there is no terminal it is not shown. */
  progress(line: string): void;
  /** Whether `progress` is seen. */
  isTerminal: boolean;
  close(): void;
}>;

/** Milliseconds between two drawings. */
const FRAME_MS = 80;

export function createScreen(out: WriteStream, err: WriteStream): Screen {
  const draw = err.isTTY ? createLogUpdate(err) : undefined;
  let shown = '';
  let drawn = 0;
  const write = (stream: WriteStream, line: string): void => {
    draw?.clear();
    stream.write(`${line}\n`);
    if (shown) draw?.(shown);
  };
  return {
    say: (line) => write(out, line),
    warn: (line) => write(err, line),
    progress: (line) => {
      shown = line;
      if (!draw || performance.now() - drawn < FRAME_MS) return;
      drawn = performance.now();
      draw(line);
    },
    isTerminal: draw !== undefined,
    close: () => {
      draw?.clear();
      draw?.done();
    },
  };
}
