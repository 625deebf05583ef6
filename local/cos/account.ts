/** A request, as far as the permission for it depends on the request. */
export type CosTarget = Readonly<{
  method: string;
  /** '' for a request to the bucket. */
  key: string;
  /** The prefix of a listing. */
  prefix: string;
  /** The region that a virtual host names. */
  region: string | undefined;
}>;

/** Keys that may sign requests. */
export type CosKeys = Readonly<{
  secretKey: string;
  /** Temporary keys have one. A request must carry it in `x-cos-security-token`. */
  token?: string | undefined;
  /** ms since 1970. */
  expiresAt?: number | undefined;
  allows: (target: CosTarget) => boolean;
}>;

/** Everything that the local COS needs to know about its account. */
export type CosAccount = Readonly<{
  /** The only bucket. */
  bucket: string;
  regions: readonly string[];
  findKeys: (secretId: string) => CosKeys | undefined;
  /** For the injected fault `keys-expired`. */
  expireKeys: (secretId: string) => void;
}>;
