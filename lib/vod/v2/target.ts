import * as v from 'valibot';
import { InvalidInput } from '../../errors.ts';
import { Sha1 } from '../../schemas.ts';
import type { VodTarget } from '../target.ts';
import type { VodClient } from './client.ts';

/** If VOD takes 200 ms per part, one function still sends 160 MiB/s. */
export const PARTS_IN_FLIGHT = 32;

/** The options that only the API 2018-07-17 has. */
const UNKNOWN_OPTIONS = ['procedure', 'expireTime', 'sourceContext'] as const;

/**
 * API 2.0: a file is its SHA-1, which names its upload too. VOD keeps the parts of an upload for later executions.
 * @param functions those of one object that send parts concurrently
 */
export const createTarget = (client: VodClient, functions: number): VodTarget => ({
  needsSha1: true,
  partsInFlight: () => PARTS_IN_FLIGHT,
  check({ options }) {
    const unknown = UNKNOWN_OPTIONS.find((name) => options[name] !== undefined);
    if (unknown !== undefined)
      throw new InvalidInput(
        `option ${unknown}: expected an option of API 2.0, got one of API 2018-07-17. Remove it, or set VOD_API.`,
      );
  },
  async open({ pin, sha1, fileName, fileType, options }, _earlier, signal) {
    if (sha1 === undefined) throw new Error(`s3://${pin.bucket}/${pin.key}: expected a SHA-1, got none`);
    const upload = await client.initUpload({ sha1, size: pin.size, fileName, fileType, options }, signal);
    return upload.state === 'stored' ? upload : { ...upload, session: sha1, functions };
  },
  async sendPart({ session }, { range }, body, signal) {
    if (!(body instanceof Uint8Array))
      throw new Error(`part at ${range.offset}: expected bytes, got a stream`);
    await client.uploadPart(v.parse(Sha1, session), range, body, signal);
    return undefined;
  },
  close: async ({ session }, signal) => ({
    state: 'stored',
    file: await client.finishUpload(v.parse(Sha1, session), signal),
  }),
  abandon: async () => {},
  attachCover: (image, signal) => client.uploadSmallFile(image, signal),
  disconnect: client.close,
});
