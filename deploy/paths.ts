import { resolve } from 'node:path';

/** Where serverless-esbuild works, and leaves what it has put into the functions' zips. */
export const WORK_DIR = resolve(import.meta.dirname, '../.esbuild');

/** The functions' code in there, as `npm start -- --packaged` runs it. */
export const BUNDLE_DIR = resolve(WORK_DIR, '.build/handlers');
