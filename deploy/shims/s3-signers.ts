/**
 * Replaces the signers of multi-region access points and directory buckets in the bundles: `lib/s3/signer.ts` signs all
 * requests. See docs/decisions/0008-bundles.md.
 */
export {
  SignatureV4 as SignatureV4MultiRegion,
  SignatureV4 as SignatureV4SignWithCredentials,
} from '@smithy/signature-v4';
