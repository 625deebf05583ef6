import * as v from 'valibot';
import { receiveText, type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import { S3Error } from '../wire/errors.ts';
import {
  GRANTEE_TYPES,
  type Grant,
  hasGrantHeaders,
  OWNER,
  OWNER_XML,
  PERMISSIONS,
  readGrants,
} from '../wire/grants.ts';
import { readXml, type XmlValue } from '../wire/xml.ts';
import { findObject } from './get.ts';
import { versionHeader } from './put.ts';

const XSI_NAMESPACE = 'http://www.w3.org/2001/XMLSchema-instance';

export function getAcl(request: S3Request): S3Response {
  const { bucket, object } = findObject(request);
  const content = { Owner: OWNER_XML, AccessControlList: { Grant: object.grants.map(describeGrant) } };
  return xmlResponse('AccessControlPolicy', content, versionHeader(bucket, object));
}

export async function putAcl(request: S3Request): Promise<S3Response> {
  const { target, headers } = request;
  const text = await receiveText(request);
  if (hasGrantHeaders(headers) && text !== '') {
    throw new S3Error('InvalidRequest', 'An ACL is allowed in the headers or in the body, but not in both');
  }
  const grants = text === '' ? readGrants(headers) : readPolicy(text);
  const { bucket, object } = findObject(request);
  bucket.updateInPlace(target.key, object.versionId, { grants: [...grants] });
  return { status: 200, headers: versionHeader(bucket, object) };
}

const describeGrant = ({ type, grantee, permission }: Grant): XmlValue => ({
  Grantee: {
    '@xmlns:xsi': XSI_NAMESPACE,
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

const policySchema = v.object({
  AccessControlList: v.union([
    v.object({
      Grant: v.array(
        v.object({
          Grantee: v.object({
            // The parser removes the prefix `xsi:`.
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
  const { AccessControlList: list } = readXml(text, 'AccessControlPolicy', policySchema);
  if (list === '') return [];
  return list.Grant.map(({ Grantee, Permission }) => {
    const grantee = Grantee.ID ?? Grantee.URI ?? Grantee.EmailAddress;
    if (!grantee) throw new S3Error('MalformedACLError');
    return { type: Grantee['@type'], grantee, permission: Permission };
  });
}
