import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { UploadNotFound } from '../../errors.ts';
import { NonEmptyString, type ObjectVersion, PositiveInt } from '../../schemas.ts';

/**
 * An open upload travels through the states of the state machine, which operators can read. So its keys are encrypted with a key
 * that every step derives from VOD_SECRET_KEY. The encryption is bound to the object version: a session of another object cannot
 * be opened.
 */

/** `expiresAt`: milliseconds since 1970. */
const SessionKeys = v.object({
  secretId: NonEmptyString,
  secretKey: NonEmptyString,
  token: NonEmptyString,
  expiresAt: PositiveInt,
});

/**
 * An upload that ApplyUpload opened. `path`: the key in COS. Without `keys`, the keys of the account apply. Without `uploadId`,
 * the object is sent in one request. `tags`: those that the file gets after its commit.
 */
export const Session = v.object({
  sessionKey: NonEmptyString,
  bucket: NonEmptyString,
  region: NonEmptyString,
  path: NonEmptyString,
  coverPath: v.optional(NonEmptyString),
  keys: v.nullable(SessionKeys),
  uploadId: v.optional(NonEmptyString),
  sourceContext: NonEmptyString,
  tags: v.optional(v.array(NonEmptyString)),
});
export type Session = v.InferOutput<typeof Session>;

/** Time for the work after the last part, and for clocks that differ. */
const MARGIN_MS = 10 * 60_000;

/** @returns the seconds until ten minutes before the keys expire, at least 0. Keys of the account do not expire */
export const secondsLeft = ({ keys }: Pick<Session, 'keys'>, now: number): number =>
  keys ? Math.max(0, Math.floor((keys.expiresAt - MARGIN_MS - now) / 1000)) : Number.POSITIVE_INFINITY;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Creates `seal` and `open` for sessions. AES-256-GCM, with a key of HKDF-SHA256. */
export function createSessionSealer(secretKey: string) {
  const key = Buffer.from(hkdfSync('sha256', secretKey, '', 's3-vod session 1', 32));

  return {
    /** @returns base64. The same session has other text each time */
    seal(session: Session, version: ObjectVersion): string {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(boundData(version));
      const text = Buffer.concat([cipher.update(JSON.stringify(session)), cipher.final()]);
      return Buffer.concat([nonce, text, cipher.getAuthTag()]).toString('base64');
    },

    /** @throws {UploadNotFound} when the text is damaged, or sealed with another secret or for another version */
    open(sealed: string, version: ObjectVersion): Session {
      try {
        const bytes = Buffer.from(sealed, 'base64');
        if (bytes.toString('base64') !== sealed) throw new Error('expected base64');
        const tag = bytes.subarray(-TAG_BYTES);
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        })
          .setAAD(boundData(version))
          .setAuthTag(tag);
        const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
        return v.parse(Session, JSON.parse(Buffer.concat([text, decipher.final()]).toString()));
      } catch {
        // The errors say nothing more, or quote the session.
        throw new UploadNotFound(
          `session of s3://${version.bucket}/${version.key}: expected one that VOD_SECRET_KEY sealed for this version, ` +
            'got another one. Opening a new upload.',
        );
      }
    },
  };
}

const boundData = ({ bucket, key, versionId, etag, size }: ObjectVersion): Buffer =>
  Buffer.from(JSON.stringify([bucket, key, versionId ?? null, etag, size]));
