import { startS3 } from '../../local/s3/server.ts';
import { CREDENTIALS } from './credentials.ts';

/** Runs a server in a separate process, which a test kills. */
const [, , dir = ''] = process.argv;
const { port } = await startS3({ dir, port: 0, credentials: CREDENTIALS });
process.send?.(port);
