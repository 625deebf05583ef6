import { CopyObjectRequest$, CreateMultipartUploadRequest$, HeadObjectOutput$ } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { preservedFields } from '../../../lib/s3/copy-fields.ts';
import { pinOf } from '../../support/values.ts';

/**
 * Every field that `HeadObject` returns, and how a write-back treats it. A new version of the SDK with another field, here or in
 * a request for a copy, fails this test until someone decides.
 */
const FIELDS: Readonly<Record<string, string>> = {
  // The request restates them.
  ...Object.fromEntries(
    [
      'BucketKeyEnabled',
      'CacheControl',
      'ContentDisposition',
      'ContentEncoding',
      'ContentLanguage',
      'ContentType',
      'Metadata',
      'ObjectLockEventHold',
      'ObjectLockEventHoldDurationDays',
      'ObjectLockEventHoldDurationYears',
      'ObjectLockLegalHoldStatus',
      'ObjectLockMode',
      'ObjectLockRetainUntilDate',
      'SSEKMSKeyId',
      'ServerSideEncryption',
      'StorageClass',
      'WebsiteRedirectLocation',
    ].map((field) => [field, 'restated']),
  ),
  Expires: 'as ExpiresString',
  ExpiresString: 'restated by preserveExpires',
  TagCount: 'S3 copies the tags, or the request restates them',
  MissingMeta: 'such an object gets tags instead',
  ArchiveStatus: 'such an object gets tags instead',
  SSECustomerAlgorithm: 'HeadObject fails without the key of the customer',
  SSECustomerKeyMD5: 'HeadObject fails without the key of the customer',
  // S3 computes them for the new object.
  ...Object.fromEntries(
    [
      'AcceptRanges',
      'ContentLength',
      'ETag',
      'Expiration',
      'LastModified',
      'PartsCount',
      'ReplicationStatus',
      'VersionId',
    ].map((field) => [field, 'computed']),
  ),
  ...Object.fromEntries(
    ['CRC32', 'CRC32C', 'CRC64NVME', 'MD5', 'SHA1', 'SHA256', 'SHA512', 'Type'].map((name) => [
      name === 'Type' ? 'ChecksumType' : `Checksum${name}`,
      'computed',
    ]),
  ),
  ...Object.fromEntries(['XXHASH3', 'XXHASH64', 'XXHASH128'].map((name) => [`Checksum${name}`, 'computed'])),
  // They describe the request or the stored bytes, not the object.
  ...Object.fromEntries(
    ['ContentRange', 'DeleteMarker', 'RequestCharged', 'Restore'].map((field) => [field, 'none']),
  ),
};

/** Every other field of the two requests that make a copy, and how a write-back treats it. */
const REQUEST_FIELDS: Readonly<Record<string, string>> = {
  // The copy: its object, its source, and its conditions.
  ...Object.fromEntries(
    [
      'Bucket',
      'ChecksumAlgorithm',
      'CopySource',
      'CopySourceIfMatch',
      'CopySourceIfUnmodifiedSince',
      'IfMatch',
      'Key',
      'MetadataDirective',
      'TaggingDirective',
    ].map((field) => [field, 'set']),
  ),
  ...Object.fromEntries(
    ['GrantFullControl', 'GrantRead', 'GrantReadACP', 'GrantWriteACP'].map((field) => [
      field,
      'from the ACL',
    ]),
  ),
  Tagging: 'from the tags, in a copy in parts',
  AnnotationDirective: 'left out: S3 copies annotations. An object that has some is not copied in parts',
  ACL: 'left out: the grants state it',
  SSEKMSEncryptionContext: 'left out: S3 returns it nowhere and adds the context that it needs itself',
  ...Object.fromEntries(
    [
      'CopySourceIfModifiedSince',
      'CopySourceIfNoneMatch',
      'CopySourceSSECustomerAlgorithm',
      'CopySourceSSECustomerKey',
      'CopySourceSSECustomerKeyMD5',
      'ExpectedBucketOwner',
      'ExpectedSourceBucketOwner',
      'IfNoneMatch',
      'RequestPayer',
      'SSECustomerKey',
    ].map((field) => [field, 'left out: no property of the object']),
  ),
};

const SAMPLE = {
  ServerSideEncryption: 'aws:kms',
  ObjectLockRetainUntilDate: new Date('2040-01-01'),
} as const;
const restated = Object.keys(FIELDS).filter((field) => FIELDS[field] === 'restated');

describe('the fields of a copy', () => {
  test('cover every field of HeadObject', () => {
    expect(Object.keys(FIELDS).sort()).toEqual([...HeadObjectOutput$[4]].sort());
  });

  test('and the requests for a copy cover every field of each other', () => {
    const fields = new Set([...CopyObjectRequest$[4], ...CreateMultipartUploadRequest$[4]]);
    const others = [...fields].filter((field) => !Object.hasOwn(FIELDS, field));
    expect(others.sort()).toEqual(Object.keys(REQUEST_FIELDS).sort());
  });

  test.each(restated)('restate %s, in one request and in parts', (field) => {
    const value = Object.hasOwn(SAMPLE, field) ? SAMPLE[field as keyof typeof SAMPLE] : 'value';
    const response = { $metadata: {}, ...SAMPLE, [field]: value };
    const metadata = { title: 'value' };
    const head = {
      pin: pinOf(1),
      metadata,
      contentType: undefined,
      sha1: undefined,
      checksum: undefined,
      etagIsMd5: true,
      response,
    };
    expect(preservedFields(head, metadata, {})).toHaveProperty(
      field,
      field === 'Metadata' ? metadata : value,
    );
    for (const request of [CopyObjectRequest$, CreateMultipartUploadRequest$])
      expect(request[4]).toContain(field);
  });
});
