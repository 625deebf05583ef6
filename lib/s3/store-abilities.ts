import type { S3Client } from '@aws-sdk/client-s3';

/**
 * The handling of copies and annotations by a store. Some stores ignore what they do not know, with status 200: radosgw ignores `If-Match` on
 * copies. The first requests of a process find out. Undefined: not known yet.
 */
export type StoreAbilities = {
  /** AWS keeps all that a copy asks for, so nothing is compared after it. */
  readonly isAws: boolean;
  /** Whether a copy with another `If-Match` fails. */
  checksDestination?: boolean;
  /** Whether the condition on the time accepts the time of the object itself. */
  acceptsOwnTime?: boolean;
  /** Whether objects can have annotations. */
  hasAnnotations?: boolean;
};

const abilities = new WeakMap<S3Client, StoreAbilities>();

export function abilitiesOf(s3: S3Client): StoreAbilities {
  const known: StoreAbilities =
    abilities.get(s3) ??
    (s3.config.isCustomEndpoint
      ? { isAws: false }
      : { isAws: true, checksDestination: true, hasAnnotations: true });
  abilities.set(s3, known);
  return known;
}
