import type { WriteStream } from 'node:tty';
import { createLogUpdate } from 'log-update';
import { type Progress, watchProgress } from '../lib/progress.ts';
import { Board, objectName } from '../local/cli/board.ts';
import { bytes, printable } from './format.ts';

/** Progress on a terminal: bars that move. Elsewhere: a line when a stage begins. */

export type Terminal = Readonly<{
  /** A line that stays. */
  say(line: string): void;
  /** What an object is at before its stages begin. */
  note(object: { bucket: string; key: string }, doing: string): void;
  /** The object has ended: its bars go. Answers how they stood. */
  forget(object: { bucket: string; key: string }): string[];
  close(): void;
}>;

const FRAME_MS = 80;

export function createTerminal(stream: WriteStream): Terminal {
  const board = new Board();
  const draw = stream.isTTY ? createLogUpdate(stream) : undefined;
  const paint = (): void => draw?.(board.lines(Math.max(4, stream.rows - 1)).join('\n'));
  const frames = draw && setInterval(paint, FRAME_MS);
  const say = (line: string): void => {
    draw?.clear();
    stream.write(`${line}\n`);
    paint();
  };
  const unwatch = watchProgress((step) => {
    const begun = board.onProgress(step, performance.now());
    if (begun && !draw) say(stageBegins(step));
  });
  return {
    say,
    note(object, doing) {
      board.setStatus(objectName(object), object.key, doing);
      if (!draw) say(`${printable(object.key)}: ${doing}`);
    },
    forget: (object) => board.remove(objectName(object)),
    close() {
      unwatch();
      clearInterval(frames);
      draw?.clear();
      draw?.done();
    },
  };
}

function stageBegins(step: Progress): string {
  const { size } = step.pin;
  const key = printable(step.pin.key);
  if (step.stage === 'hash') return `${key}: hashing ${bytes(size)}`;
  return step.stage === 'parts' ? `${key}: sending ${bytes(step.missing)} of ${bytes(size)}` : '';
}
