import type { S3Client } from '@aws-sdk/client-s3';

/**
 * The handling of copies and annotations by a store that is not AWS. Some stores ignore what they do not know, with status 200: radosgw ignores
 * `If-Match` and `x-amz-tagging-directive`. The first copies of a process find out. Undefined: not known yet.
 */
export type StoreAbilities = {
  /** Whether a copy with another `If-Match` fails. */
  checksDestination?: boolean;
  /** Whether a copy keeps tags. */
  copiesTags?: boolean;
  /** Whether objects can have annotations. */
  hasAnnotations?: boolean;
};

const AWS: Readonly<Required<StoreAbilities>> = {
  checksDestination: true,
  copiesTags: true,
  hasAnnotations: true,
};
const abilities = new WeakMap<S3Client, StoreAbilities>();

export function abilitiesOf(s3: S3Client): StoreAbilities {
  const known = abilities.get(s3) ?? (s3.config.isCustomEndpoint ? {} : { ...AWS });
  abilities.set(s3, known);
  return known;
}
