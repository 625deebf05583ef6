import * as v from 'valibot';
import { type Call, type Reply, receiveText } from '../call.ts';
import { S3Error } from '../wire/errors.ts';
import { GRANTEE_TYPES, type Grant, OWNER, PERMISSIONS, readGrants, statesGrants } from '../wire/grants.ts';
import { queryValue } from '../wire/target.ts';
import { document, NAMESPACE, readXml, type XmlValue } from '../wire/xml.ts';
import { findObject } from './get.ts';
import { versionHeader } from './put.ts';

const INSTANCE = 'http://www.w3.org/2001/XMLSchema-instance';

export function getAcl({ store, target }: Call): Reply {
  const bucket = store.bucket(target.bucket);
  const object = findObject(bucket, target.key, queryValue(target.query, 'versionId'));
  const content = {
    '@xmlns': NAMESPACE,
    Owner: { ID: OWNER.id, DisplayName: OWNER.name },
    AccessControlList: { Grant: object.grants.map(describeGrant) },
  };
  return {
    status: 200,
    headers: versionHeader(bucket, object),
    xml: document('AccessControlPolicy', content),
  };
}

export async function putAcl(call: Call): Promise<Reply> {
  const { store, target, headers } = call;
  const text = await receiveText(call);
  if (statesGrants(headers) && text !== '') {
    throw new S3Error('InvalidRequest', 'An ACL is stated in the headers or in the body, not in both');
  }
  const grants = text === '' ? readGrants(headers) : readPolicy(text);
  const bucket = store.bucket(target.bucket);
  const object = findObject(bucket, target.key, queryValue(target.query, 'versionId'));
  bucket.updateInPlace(target.key, object.versionId, { grants: [...grants] });
  return { status: 200, headers: versionHeader(bucket, object) };
}

const describeGrant = ({ type, grantee, permission }: Grant): XmlValue => ({
  Grantee: {
    '@xmlns:xsi': INSTANCE,
    '@xsi:type': type,
    ...(type === 'CanonicalUser' && {
      ID: grantee,
      DisplayName: grantee === OWNER.id ? OWNER.name : undefined,
    }),
    ...(type === 'Group' && { URI: grantee }),
    ...(type === 'AmazonCustomerByEmail' && { EmailAddress: grantee }),
  },
  Permission: permission,
});

const policy = v.object({
  AccessControlList: v.union([
    v.object({
      Grant: v.array(
        v.object({
          Grantee: v.object({
            // The parser has taken the prefix `xsi:` off.
            '@type': v.picklist(GRANTEE_TYPES),
            ID: v.optional(v.string()),
            URI: v.optional(v.string()),
            EmailAddress: v.optional(v.string()),
          }),
          Permission: v.picklist(PERMISSIONS),
        }),
      ),
    }),
    v.pipe(v.string(), v.trim(), v.literal('')),
  ]),
});

function readPolicy(text: string): readonly Grant[] {
  const { AccessControlList: list } = readXml(text, 'AccessControlPolicy', policy);
  if (list === '') return [];
  return list.Grant.map(({ Grantee, Permission }) => {
    const grantee = Grantee.ID ?? Grantee.URI ?? Grantee.EmailAddress;
    if (!grantee) throw new S3Error('MalformedACLError');
    return { type: Grantee['@type'], grantee, permission: Permission };
  });
}
