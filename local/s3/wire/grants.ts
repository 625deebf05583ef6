import { S3Error } from './errors.ts';

type Headers = Readonly<Record<string, string | undefined>>;

/** The one account there is. */
export const OWNER = {
  id: '75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a',
  name: 'local',
} as const;

export const PERMISSIONS = ['FULL_CONTROL', 'READ', 'WRITE', 'READ_ACP', 'WRITE_ACP'] as const;
export const GRANTEE_TYPES = ['CanonicalUser', 'Group', 'AmazonCustomerByEmail'] as const;

/** `grantee` is a canonical user id, a group's URI or an e-mail address, by `type`. */
export type Grant = Readonly<{
  type: (typeof GRANTEE_TYPES)[number];
  grantee: string;
  permission: (typeof PERMISSIONS)[number];
}>;

const group = (name: string, permission: Grant['permission']): Grant => ({
  type: 'Group',
  grantee: `http://acs.amazonaws.com/groups/${name}`,
  permission,
});

const FULL: Grant = { type: 'CanonicalUser', grantee: OWNER.id, permission: 'FULL_CONTROL' };

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl */
const CANNED: Readonly<Record<string, readonly Grant[]>> = {
  private: [FULL],
  'public-read': [FULL, group('global/AllUsers', 'READ')],
  'public-read-write': [FULL, group('global/AllUsers', 'READ'), group('global/AllUsers', 'WRITE')],
  'authenticated-read': [FULL, group('global/AuthenticatedUsers', 'READ')],
  // Bucket and object have the same owner here.
  'aws-exec-read': [FULL],
  'bucket-owner-read': [FULL],
  'bucket-owner-full-control': [FULL],
};

const GRANT_HEADERS = PERMISSIONS.map(
  (permission) => [`x-amz-grant-${permission.toLowerCase().replace('_', '-')}`, permission] as const,
);

/** Does the request say who may do what? */
export const statesGrants = (headers: Headers): boolean =>
  headers['x-amz-acl'] !== undefined || GRANT_HEADERS.some(([name]) => headers[name] !== undefined);

/** Who may do what, by a canned ACL or by grant headers; without either, private. */
export function readGrants(headers: Headers): readonly Grant[] {
  const canned = headers['x-amz-acl'];
  const granted = GRANT_HEADERS.flatMap(([name, permission]) => readGrantees(headers[name], permission));
  if (canned !== undefined && granted.length > 0) {
    throw new S3Error('InvalidRequest', 'Specifying both Canned ACLs and Header Grants is not allowed');
  }
  if (granted.length > 0) return granted;
  const grants = Object.hasOwn(CANNED, canned ?? 'private') ? CANNED[canned ?? 'private'] : undefined;
  if (!grants) throw new S3Error('InvalidArgument', undefined, { details: { ArgumentName: 'x-amz-acl' } });
  return grants;
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
