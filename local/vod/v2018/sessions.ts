import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { JsonStore } from '../../../cli/json-store.ts';
import type { VodSecrets } from '../../../lib/config.ts';
import type { CosAccount, CosTarget } from '../../cos/account.ts';

/** The account of the service. The bucket belongs to VOD and not to the account. */
export const APP_ID = 1_250_000_000;
export const COS_BUCKET = `vodlocal-${APP_ID}`;

/** The properties of a file that its upload states. */
export const MediaFacts = v.object({
  name: v.string(),
  type: v.string(),
  classId: v.number(),
  region: v.string(),
  procedure: v.optional(v.string()),
  expireTime: v.optional(v.string()),
  sourceContext: v.optional(v.string()),
  sessionContext: v.optional(v.string()),
});
export type MediaFacts = Readonly<v.InferOutput<typeof MediaFacts>>;

/** An upload session. */
const Session = v.object({
  fileId: v.string(),
  /** `VodSessionKey` */
  key: v.string(),
  /** The keys of the objects in COS. */
  mediaKey: v.string(),
  coverKey: v.optional(v.string()),
  facts: MediaFacts,
  /** Temporary keys. Without them, the keys of the account sign requests to COS. `expiresAt`: ms since 1970. */
  keys: v.optional(
    v.object({ secretId: v.string(), secretKey: v.string(), token: v.string(), expiresAt: v.number() }),
  ),
  /** VOD has lost the session. */
  isGone: v.optional(v.boolean()),
});
export type Session = Readonly<v.InferOutput<typeof Session>>;

type NewSession = Readonly<{
  fileId: string;
  facts: MediaFacts;
  coverType: string | undefined;
  /** When the temporary keys end, in ms since 1970. Undefined: none are created. */
  expiresAt: number | undefined;
}>;

/** The upload sessions that ApplyUpload opened, in the folder `sessions`. A committed session is one whose file is stored. */
export class Sessions {
  readonly #store: JsonStore<typeof Session>;
  readonly #byKey = new Map<string, Session>();
  readonly #bySecretId = new Map<string, Session>();
  readonly #byMediaKey = new Map<string, Session>();

  constructor(folder: string) {
    this.#store = new JsonStore(folder, Session);
    for (const session of this.#store.all()) this.#index(session);
  }

  create({ fileId, facts, coverType, expiresAt }: NewSession): Session {
    const folder = `${hex(5)}vodlocal${APP_ID}/${hex(4)}${fileId}`;
    const session: Session = {
      fileId,
      key: randomBytes(96).toString('base64url'),
      mediaKey: `${folder}/f0.${facts.type}`,
      ...(coverType !== undefined && { coverKey: `${folder}/cover.${coverType}` }),
      facts,
      ...(expiresAt !== undefined && {
        keys: {
          secretId: `AKID${hex(16)}`,
          secretKey: randomBytes(24).toString('base64'),
          token: randomBytes(120).toString('base64url'),
          expiresAt,
        },
      }),
    };
    this.#save(session);
    return session;
  }

  all(): Iterable<Session> {
    return this.#byKey.values();
  }

  find(key: string): Session | undefined {
    return this.#byKey.get(key);
  }

  /** For the injected fault `session-gone`. */
  end(key: string): void {
    const session = this.#byKey.get(key);
    if (session) this.#save({ ...session, isGone: true });
  }

  /** The account as COS knows it. The temporary keys of a session open only the objects of the session. */
  createCosAccount({ findSecrets, regions, isCommitted, now }: CosAccountOptions): CosAccount {
    const isOpen = (session: Session, { method, key, region }: CosTarget): boolean =>
      (session.mediaKey === key || session.coverKey === key) &&
      (region === undefined || region === session.facts.region) &&
      // A stored file can still be seen at its path, and never changes.
      (method === 'HEAD' || !isCommitted(session.fileId));
    return {
      bucket: COS_BUCKET,
      regions,
      findKeys: (secretId) => {
        const session = this.#bySecretId.get(secretId);
        if (session?.keys) {
          const allows = (target: CosTarget): boolean =>
            target.key === '' ? target.prefix.startsWith(dirOf(session)) : isOpen(session, target);
          return { ...session.keys, allows };
        }
        const keys = findSecrets(secretId);
        return (
          keys && {
            ...keys,
            allows: (target) => {
              const opened = this.#byMediaKey.get(target.key);
              return target.key === '' || (opened !== undefined && isOpen(opened, target));
            },
          }
        );
      },
      expireKeys: (secretId) => {
        const session = this.#bySecretId.get(secretId);
        if (session?.keys) this.#save({ ...session, keys: { ...session.keys, expiresAt: now() } });
      },
    };
  }

  #save(session: Session): void {
    this.#store.put(session.fileId, session);
    this.#index(session);
  }

  #index(session: Session): void {
    this.#byKey.set(session.key, session);
    this.#byMediaKey.set(session.mediaKey, session);
    if (session.coverKey !== undefined) this.#byMediaKey.set(session.coverKey, session);
    if (session.keys) this.#bySecretId.set(session.keys.secretId, session);
  }
}

type CosAccountOptions = Readonly<{
  /** Finds keys of the account itself. */
  findSecrets: (secretId: string) => VodSecrets | undefined;
  regions: readonly string[];
  isCommitted: (fileId: string) => boolean;
  now: () => number;
}>;

const dirOf = ({ mediaKey }: Session): string => mediaKey.slice(0, mediaKey.lastIndexOf('/') + 1);

const hex = (bytes: number): string => randomBytes(bytes).toString('hex');
