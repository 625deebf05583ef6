import { resolve } from 'node:path';

/** Where `npm run package` puts the functions' code, and `npm start -- --packaged` finds it. */
export const BUILD = resolve(import.meta.dirname, '../build');
