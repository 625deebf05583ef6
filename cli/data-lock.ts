import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Locks a data folder, which is created if it does not exist. Two processes on one folder would both continue the same
 * unfinished work. A listening socket holds the lock because, unlike a file with a process ID, it ends with its process.
 * @returns a function that releases the lock @throws {Error} if another process holds the lock, or the path is a file
 */
export async function lock(dir: string): Promise<() => Promise<void>> {
  createFolder(dir);
  const path = socketPath(dir);
  const server = (await listenOn(path)) ?? (await replaceStaleSocket(path, dir));
  server.unref();
  return async () => {
    server.close();
    await once(server, 'close');
  };
}

/** Whether a process holds the lock of a data folder. */
export const isLocked = async (dir: string): Promise<boolean> =>
  existsSync(dir) && (await acceptsConnections(socketPath(dir)));

function createFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true });
  } catch (cause) {
    const isFile = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST';
    throw isFile ? new Error(`data folder ${dir}: expected a folder, got a file`, { cause }) : cause;
  }
}

/** A path in the temporary folder: the path of a socket is limited to about 100 bytes. */
function socketPath(dir: string): string {
  const name = createHash('sha256').update(realpathSync(dir)).digest('hex').slice(0, 24);
  return join(tmpdir(), `s3-vod-${name}.sock`);
}

/** @returns undefined if the socket file exists already */
async function listenOn(path: string): Promise<Server | undefined> {
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

/** A socket file that accepts no connections was left by a killed process. */
async function replaceStaleSocket(path: string, dir: string): Promise<Server> {
  if (!(await acceptsConnections(path))) {
    rmSync(path, { force: true });
    const server = await listenOn(path);
    if (server) return server;
  }
  throw new Error(
    `data folder ${dir} is in use by another process. Stop it or select another folder with --data.`,
  );
}

async function acceptsConnections(path: string): Promise<boolean> {
  const socket = connect(path);
  const isConnected = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return isConnected;
}
