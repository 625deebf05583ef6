import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { S3Request, S3Response } from '../operation.ts';
import { checkHeaderNames } from '../parameters.ts';
import { metadataHeaders } from '../wire/attributes.ts';
import { checkSignature, createSignatureV2Error, readBasicDate, readScope } from '../wire/auth.ts';
import { openBody, type SizeLimits } from '../wire/body.ts';
import { S3Error } from '../wire/errors.ts';
import { checkHeaders, type StoredHeaders } from '../wire/headers.ts';
import { checkPolicy } from '../wire/policy.ts';
import { checkKey, encodePath } from '../wire/target.ts';
import { writeXml } from '../wire/xml.ts';
import { publishReceived, readAttributes, writtenHeaders } from './put.ts';
import { readTagSet } from './tagging.ts';

type Fields = ReadonlyMap<string, string>;

const MAX_FIELD_BYTES = 64 * 1024;

/**
 * Stores a file from a browser form: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
 * The policy signs the form. No field is trusted before the policy is verified.
 */
export async function postObject(request: S3Request): Promise<S3Response> {
  const { store, target, headers } = request;
  const bucket = store.getBucket(target.bucket);
  const form = openForm(headers['content-type'] ?? '');
  const fields = new Map([['bucket', target.bucket]]);
  form.on('field', (name, value) => fields.set(name.toLowerCase(), value));
  const parsed = parseForm(request, form);
  try {
    // Like S3, ignores fields after the file.
    const { file, filename } = await Promise.race([nextFile(form), parsed.then(rejectFormWithoutFile)]);
    // An interrupted body destroys the file with an error, which needs a listener even if nothing reads the file.
    file.on('error', () => {});
    parsed.catch((error: Error) => file.destroy(error));
    // biome-ignore lint/suspicious/noTemplateCurlyInString: S3's own placeholder
    const key = (fields.get('key') ?? '').replaceAll('${filename}', filename);
    // The conditions of the policy apply to the key of the object.
    fields.set('key', key);
    const limits = verifyForm(request, fields);
    if (key === '') throw new S3Error('InvalidArgument', "Bucket POST must contain a field named 'key'.");
    checkKey(key);
    const formHeaders = toHeaders(fields);
    checkHeaderNames('PostObject', Object.keys(formHeaders));
    const tagging = fields.get('tagging');
    const attributes = {
      ...readAttributes(formHeaders),
      ...(tagging !== undefined && { tags: readTagSet(tagging) }),
    };
    checkHeaders({ ...attributes.content, ...attributes.placement, ...metadataHeaders(attributes.metadata) });
    const body = openBody(file, formHeaders, 'UNSIGNED-PAYLOAD', { limits });
    using blob = await store.blobs.write(body.bytes);
    await parsed;
    const object = publishReceived(bucket, key, attributes, { ...blob, ...body.facts() }, () => {});
    await request.emitCreated('ObjectCreated:Post', bucket, key, object);
    return describeSuccess(request, key, fields, writtenHeaders(object), object.etag);
  } finally {
    form.destroy();
  }
}

function openForm(contentType: string): BusboyInstance {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: { fieldSize: MAX_FIELD_BYTES, fields: 200 },
      isPartAFile: (name) => name?.toLowerCase() === 'file',
    });
  } catch (cause) {
    throw new S3Error('MalformedPOSTRequest', { cause }); // without a boundary
  }
}

/** Feeds the form and settles at its closing boundary. Callers handle rejections where they await the promise. */
function parseForm({ openSource }: S3Request, form: BusboyInstance): Promise<void> {
  const parsed = pipeline(openSource(), form).catch((cause: unknown) => {
    throw new S3Error('MalformedPOSTRequest', { cause });
  });
  parsed.catch(() => {});
  return parsed;
}

function nextFile(form: BusboyInstance): Promise<{ file: Readable; filename: string }> {
  return new Promise((resolve) => {
    form.once('file', (_name, file, filename) => resolve({ file, filename: filename ?? '' }));
  });
}

function rejectFormWithoutFile(): never {
  throw new S3Error('InvalidArgument', 'POST requires exactly one file upload per request.');
}

/** Verifies the signature of the policy, and the fields by the policy. Returns the allowed size of the file. */
function verifyForm({ credentials, now }: S3Request, fields: Fields): SizeLimits {
  const policy = fields.get('policy');
  if (policy === undefined) throw new S3Error('AccessDenied');
  if (fields.has('awsaccesskeyid')) throw createSignatureV2Error();
  const field = (name: string): string => {
    const value = fields.get(name);
    if (!value) throw new S3Error('InvalidArgument', `Bucket POST must contain a field named '${name}'.`);
    return value;
  };
  const date = field('x-amz-date');
  if (field('x-amz-algorithm') !== 'AWS4-HMAC-SHA256' || readBasicDate(date) === undefined) {
    const message = 'X-Amz-Algorithm must be AWS4-HMAC-SHA256, X-Amz-Date YYYYMMDDTHHMMSSZ';
    throw new S3Error('InvalidArgument', message);
  }
  const scope = readScope({ credential: field('x-amz-credential'), date }, credentials);
  checkSignature(policy, field('x-amz-signature'), scope, credentials);
  return checkPolicy(policy, fields, now());
}

/** Converts fields to headers of the same names. Fields are UTF-8, but header bytes are handled as Latin-1. */
const toHeaders = (fields: Fields): StoredHeaders =>
  Object.fromEntries(
    [...fields]
      .filter(([name]) => name !== 'tagging')
      .map(([name, value]) => [name === 'acl' ? 'x-amz-acl' : name, Buffer.from(value).toString('latin1')]),
  );

function describeSuccess(
  { target: { bucket }, headers: { host = 'localhost' } }: S3Request,
  key: string,
  fields: Fields,
  headers: NonNullable<S3Response['headers']>,
  etag: string,
): S3Response {
  const location = `http://${host}/${bucket}/${encodePath(key)}`;
  const redirect = fields.get('success_action_redirect') ?? fields.get('redirect');
  if (redirect !== undefined && URL.canParse(redirect)) {
    const url = new URL(redirect);
    url.searchParams.set('bucket', bucket);
    url.searchParams.set('key', key);
    url.searchParams.set('etag', `"${etag}"`);
    return { status: 303, headers: { ...headers, location: url.href } };
  }
  const status = fields.get('success_action_status');
  const result = { status: status === '200' ? 200 : 204, headers: { ...headers, location } };
  if (status !== '201') return result;
  const content = { Location: location, Bucket: bucket, Key: key, ETag: `"${etag}"` };
  return { ...result, status: 201, xml: writeXml('PostResponse', content) };
}
