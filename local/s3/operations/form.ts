import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { Call, Reply } from '../call.ts';
import { checkHeaders, checkTags, metadataHeaders } from '../wire/attributes.ts';
import { checkSignature, readBasicDate, readScope } from '../wire/auth.ts';
import { type Bounds, openBody } from '../wire/body.ts';
import { S3Error } from '../wire/errors.ts';
import { checkPolicy } from '../wire/policy.ts';
import { checkKey, encodePath } from '../wire/target.ts';
import { document, readXml } from '../wire/xml.ts';
import { publishReceived, readAttributes, writtenHeaders } from './put.ts';
import { tagging, tagsOf } from './tagging.ts';

type Fields = ReadonlyMap<string, string>;

const MAX_FIELD = 64 * 1024;

/**
 * A file from a browser's form: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
 * The form is signed by its policy, so nothing of it counts before that is verified.
 */
export async function postObject(call: Call): Promise<Reply> {
  const { store, target, headers } = call;
  const bucket = store.bucket(target.bucket);
  const contentType = headers['content-type'] ?? '';
  const form = openForm(contentType);
  const fields = new Map([['bucket', target.bucket]]);
  form.on('field', (name, value) => fields.set(name.toLowerCase(), value));
  const parsed = parse(call, form);
  try {
    // Fields after the file do not count: S3 says so too.
    const { file, filename } = await Promise.race([nextFile(form), parsed.then(refuseFormWithoutFile)]);
    // A body that breaks off ends the file with the error; somebody must listen even where nobody reads any more.
    file.on('error', () => {});
    parsed.catch((error: Error) => file.destroy(error));
    const bounds = verifyForm(call, fields);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: S3's own placeholder
    const key = (fields.get('key') ?? '').replaceAll('${filename}', filename);
    if (key === '') throw new S3Error('InvalidArgument', "Bucket POST must contain a field named 'key'.");
    checkKey(key);
    const stated = statedIn(fields);
    const attributes = { ...readAttributes(stated), ...tagsIn(fields) };
    checkHeaders({ ...attributes.content, ...attributes.placement, ...metadataHeaders(attributes.metadata) });
    const body = openBody(file, stated, 'UNSIGNED-PAYLOAD', { bounds });
    using draft = await store.blobs.write(body.bytes);
    await parsed;
    const object = publishReceived(bucket, key, attributes, { ...draft, ...body.facts() }, () => {});
    await call.announce('Post', bucket, key, object);
    return describeSuccess(call, key, fields, writtenHeaders(bucket, object), object.etag);
  } finally {
    form.destroy();
  }
}

function openForm(contentType: string): BusboyInstance {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      limits: { fieldSize: MAX_FIELD, fields: 200 },
      isPartAFile: (name) => name?.toLowerCase() === 'file',
    });
  } catch (cause) {
    throw new S3Error('MalformedPOSTRequest', undefined, { cause }); // without a boundary
  }
}

/** Feeds the form; settles at its closing boundary. Rejections are dealt with where the promise is awaited. */
function parse(call: Call, form: BusboyInstance): Promise<void> {
  const parsed = pipeline(call.openSource(), form).catch((cause: unknown) => {
    throw new S3Error('MalformedPOSTRequest', undefined, { cause });
  });
  parsed.catch(() => {});
  return parsed;
}

function nextFile(form: BusboyInstance): Promise<{ file: Readable; filename: string }> {
  return new Promise((resolve) => {
    form.once('file', (_name, file, filename) => resolve({ file, filename: filename ?? '' }));
  });
}

function refuseFormWithoutFile(): never {
  throw new S3Error('InvalidArgument', 'POST requires exactly one file upload per request.');
}

/** Who sent it, and does its policy allow what it says? Returns how long the file may be. */
function verifyForm({ credentials, now }: Call, fields: Fields): Bounds {
  const policy = fields.get('policy');
  if (policy === undefined) throw new S3Error('AccessDenied');
  const field = (name: string): string => {
    const value = fields.get(name);
    if (!value) throw new S3Error('InvalidArgument', `Bucket POST must contain a field named '${name}'.`);
    return value;
  };
  const date = field('x-amz-date');
  if (field('x-amz-algorithm') !== 'AWS4-HMAC-SHA256' || readBasicDate(date) === undefined) {
    throw new S3Error(
      'InvalidArgument',
      'X-Amz-Algorithm must be AWS4-HMAC-SHA256, X-Amz-Date YYYYMMDDTHHMMSSZ',
    );
  }
  const scope = readScope({ credential: field('x-amz-credential'), date }, credentials);
  checkSignature(policy, field('x-amz-signature'), scope, credentials);
  return checkPolicy(policy, fields, now());
}

/** The fields that are named as headers are. Text is UTF-8 here; a header's bytes are handled as Latin-1. */
function statedIn(fields: Fields): Readonly<Record<string, string>> {
  const stated = [...fields]
    .filter(([name]) => name !== 'tagging')
    .map(([name, value]) => [name === 'acl' ? 'x-amz-acl' : name, Buffer.from(value).toString('latin1')]);
  return Object.fromEntries(stated);
}

function tagsIn(fields: Fields) {
  const xml = fields.get('tagging');
  return xml === undefined ? {} : { tags: [...checkTags(tagsOf(readXml(xml, 'Tagging', tagging)))] };
}

function describeSuccess(
  call: Call,
  key: string,
  fields: Fields,
  headers: NonNullable<Reply['headers']>,
  etag: string,
): Reply {
  const { bucket } = call.target;
  const location = `http://${call.headers.host ?? 'localhost'}/${bucket}/${encodePath(key)}`;
  const redirect = fields.get('success_action_redirect') ?? fields.get('redirect');
  if (redirect !== undefined && URL.canParse(redirect)) {
    const url = new URL(redirect);
    url.searchParams.set('bucket', bucket);
    url.searchParams.set('key', key);
    url.searchParams.set('etag', `"${etag}"`);
    return { status: 303, headers: { ...headers, location: url.href } };
  }
  const status = fields.get('success_action_status');
  if (status === '201') {
    const content = { Location: location, Bucket: bucket, Key: key, ETag: `"${etag}"` };
    return { status: 201, headers: { ...headers, location }, xml: document('PostResponse', content) };
  }
  if (status === '200') return { status: 200, headers: { ...headers, location } };
  return { status: 204, headers: { ...headers, location } };
}
