import { resolve } from 'node:path';

/** serverless-esbuild works here and keeps the code of the zips. */
export const WORK_DIR = resolve(import.meta.dirname, '../.esbuild');

/** The functions' code, which `npm start -- --packaged` runs. */
export const BUNDLE_DIR = resolve(WORK_DIR, '.build/handlers');
