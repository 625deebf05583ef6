import { S3Error } from './errors.ts';
import type { RequestHeaders } from './headers.ts';

/** The only account. */
export const OWNER = {
  id: '75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a',
  name: 'local',
} as const;

export const OWNER_XML = { ID: OWNER.id, DisplayName: OWNER.name };

export const PERMISSIONS = ['FULL_CONTROL', 'READ', 'WRITE', 'READ_ACP', 'WRITE_ACP'] as const;
export const GRANTEE_TYPES = ['CanonicalUser', 'Group', 'AmazonCustomerByEmail'] as const;

/** `grantee` is a canonical user ID, the URI of a group, or an email address, depending on `type`. */
export type Grant = Readonly<{
  type: (typeof GRANTEE_TYPES)[number];
  grantee: string;
  permission: (typeof PERMISSIONS)[number];
}>;

const groupGrant = (name: string, permission: Grant['permission']): Grant => ({
  type: 'Group',
  grantee: `http://acs.amazonaws.com/groups/${name}`,
  permission,
});

const FULL: Grant = { type: 'CanonicalUser', grantee: OWNER.id, permission: 'FULL_CONTROL' };

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl */
const CANNED: ReadonlyMap<string, readonly Grant[]> = new Map(
  Object.entries({
    private: [FULL],
    'public-read': [FULL, groupGrant('global/AllUsers', 'READ')],
    'public-read-write': [
      FULL,
      groupGrant('global/AllUsers', 'READ'),
      groupGrant('global/AllUsers', 'WRITE'),
    ],
    'authenticated-read': [FULL, groupGrant('global/AuthenticatedUsers', 'READ')],
    // The bucket and the object always have the same owner.
    'aws-exec-read': [FULL],
    'bucket-owner-read': [FULL],
    'bucket-owner-full-control': [FULL],
  }),
);

const GRANT_HEADERS = PERMISSIONS.map(
  (permission) => [`x-amz-grant-${permission.toLowerCase().replace('_', '-')}`, permission] as const,
);

export const hasGrantHeaders = (headers: RequestHeaders): boolean =>
  headers['x-amz-acl'] !== undefined || GRANT_HEADERS.some(([name]) => headers[name] !== undefined);

/** Reads the canned ACL or the grant headers of a request. Without either, the object is private. */
export function readGrants(headers: RequestHeaders): readonly Grant[] {
  const canned = headers['x-amz-acl'];
  const grants = GRANT_HEADERS.flatMap(([name, permission]) => readGrantees(headers[name], permission));
  if (canned !== undefined && grants.length > 0) {
    throw new S3Error('InvalidRequest', 'Specifying both Canned ACLs and Header Grants is not allowed');
  }
  if (grants.length > 0) return grants;
  const cannedGrants = CANNED.get(canned ?? 'private');
  if (!cannedGrants) throw new S3Error('InvalidArgument', { details: { ArgumentName: 'x-amz-acl' } });
  return cannedGrants;
}

/** `id="…", uri="…"` */
function readGrantees(header: string | undefined, permission: Grant['permission']): Grant[] {
  return (header ?? '').split(',').flatMap((part): Grant[] => {
    if (part.trim() === '') return [];
    const match = /^\s*(id|uri|emailAddress)\s*=\s*"?([^"]+?)"?\s*$/.exec(part);
    if (!match?.[2]) throw new S3Error('InvalidArgument', 'Argument format not recognized');
    const type = match[1] === 'id' ? 'CanonicalUser' : match[1] === 'uri' ? 'Group' : 'AmazonCustomerByEmail';
    return [{ type, grantee: match[2], permission }];
  });
}
