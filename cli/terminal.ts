import type { WriteStream } from 'node:tty';
import { createLogUpdate } from 'log-update';

/** Prints lines and, if standard error is a terminal, keeps a progress region below them. */
export type Terminal = Readonly<{
  /** Prints a line on standard output: a result. */
  print(line: string): void;
  /** Prints a line on standard error: a failure, or the status of a command whose standard output is for programs. */
  printError(line: string): void;
  /** Redraws the progress region. Without a terminal it does nothing. */
  showProgress(text: string): void;
  isInteractive: boolean;
  /** Lines that the progress region can fill. */
  height(): number;
  close(): void;
}>;

const FRAME_MS = 80;

export function createTerminal(out: WriteStream, err: WriteStream): Terminal {
  const draw = err.isTTY ? createLogUpdate(err) : undefined;
  let shown = '';
  let drawnAt = 0;
  const write = (stream: WriteStream, line: string): void => {
    draw?.clear();
    stream.write(`${line}\n`);
    if (shown) draw?.(shown);
  };
  return {
    print: (line) => write(out, line),
    printError: (line) => write(err, line),
    showProgress: (text) => {
      shown = text;
      if (!draw || performance.now() - drawnAt < FRAME_MS) return;
      drawnAt = performance.now();
      draw(text);
    },
    isInteractive: draw !== undefined,
    height: () => Math.max(4, err.rows - 1),
    close: () => {
      draw?.clear();
      draw?.done();
    },
  };
}
