import { GetObjectAclCommand, type Grant, type S3Client } from '@aws-sdk/client-s3';
import type { ObjectVersion } from '../schemas.ts';
import { isNotImplemented, sendS3WithTimeout } from './request.ts';

const GRANT_FIELDS = {
  FULL_CONTROL: 'GrantFullControl',
  READ: 'GrantRead',
  READ_ACP: 'GrantReadACP',
  WRITE_ACP: 'GrantWriteACP',
} as const;

/** The parameters of a write that restate an ACL. */
export type Grants = Partial<Record<(typeof GRANT_FIELDS)[keyof typeof GRANT_FIELDS], string>>;

/**
 * Reads the ACL of an object. An ACL that only gives the owner full control needs no grants: a copy gets it by default,
 * and a bucket that enforces its owner accepts no other.
 * @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function readGrants(
  s3: S3Client,
  { bucket, key, versionId }: ObjectVersion,
  signal: AbortSignal,
): Promise<Grants> {
  const command = new GetObjectAclCommand({ Bucket: bucket, Key: key, VersionId: versionId });
  const operation = `GET ACL of s3://${bucket}/${key}`;
  const acl = await sendS3WithTimeout(s3, operation, command, signal).catch((error: unknown) => {
    // A service without ACLs has none to lose. One that denies access to them would lose them silently.
    if (isNotImplemented(error)) return undefined;
    throw error;
  });
  const grants = acl?.Grants ?? [];
  if (grants.every((g) => g.Permission === 'FULL_CONTROL' && g.Grantee?.ID === acl?.Owner?.ID)) return {};
  const fields: Grants = {};
  for (const { Permission, Grantee } of grants) {
    const field = Permission && Permission !== 'WRITE' ? GRANT_FIELDS[Permission] : undefined;
    const grantee = toGrantee(Grantee);
    if (field && grantee) fields[field] = fields[field] ? `${fields[field]}, ${grantee}` : grantee;
  }
  return fields;
}

function toGrantee(grantee: Grant['Grantee']): string | undefined {
  if (grantee?.URI) return `uri="${grantee.URI}"`;
  return grantee?.ID && `id="${grantee.ID}"`;
}
