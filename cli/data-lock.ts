import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A data folder has one user at a time: two would both go on with what was not finished. Held by a listening socket,
 * which a killed process cannot leave behind as a process id in a file would (its number may live on, or be a zombie's).
 * @returns what gives the folder back @throws {FolderInUse}
 */
export async function lock(dir: string): Promise<() => Promise<void>> {
  makeFolder(dir);
  const path = socketOf(dir);
  const server = (await held(path)) ?? (await heldAfter(path, dir));
  server.unref();
  return async () => {
    server.close();
    await once(server, 'close');
  };
}

function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true });
  } catch (cause) {
    const isFile = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST';
    throw isFile ? new Error(`${dir} is a file: a folder is expected`, { cause }) : cause;
  }
}

/** Whether a data folder has its user now. */
export const isLocked = async (dir: string): Promise<boolean> =>
  existsSync(dir) && (await answers(socketOf(dir)));

/** Not in the folder itself: a socket's path may be no longer than about 100 bytes. */
function socketOf(dir: string): string {
  const name = createHash('sha256').update(realpathSync(dir)).digest('hex').slice(0, 24);
  return join(tmpdir(), `s3-vod-${name}.sock`);
}

export class FolderInUse extends Error {
  override readonly name = 'FolderInUse';
}

async function held(path: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(path);
    await once(server, 'listening');
    return server;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined;
    throw error;
  }
}

/** A socket file on which nobody answers is a killed process's. */
async function heldAfter(path: string, dir: string): Promise<Server> {
  if (!(await answers(path))) {
    rmSync(path, { force: true });
    const server = await held(path);
    if (server) return server;
  }
  throw new FolderInUse(
    `${dir} is in use by another process: stop that one, or give another folder with --data`,
  );
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  const answered = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return answered;
}
