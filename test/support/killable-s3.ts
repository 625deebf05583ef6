import { startS3 } from '../../local/s3/server.ts';
import { CREDENTIALS } from './credentials.ts';

/** A server in a process of its own, for the test that kills it. */
const [, , dir = ''] = process.argv;
const { port } = await startS3({ dir, port: 0, credentials: CREDENTIALS });
process.send?.(port);
