import type { TracedRequest } from './request-tracer.ts';

/** The stages of an object, as the requests of its steps show them. `upload`: the local file is put into S3. */
export const STAGES = ['upload', 'trigger', 'hash', 'init', 'parts', 'finish', 'write-back'] as const;
export type Stage = (typeof STAGES)[number];

/** A part of an UploadPart request. */
export type SentPart = Readonly<{ sha1: string; offset: number }>;

/** `sha1`: the video of a call to VOD. */
export type Step = Readonly<{ stage: Stage; sha1?: string; part?: SentPart }>;

/**
 * Returns the stage that a request belongs to, if any. `opened`: the keys whose upload to VOD is open. A read of any other key belongs to
 * the hash pass.
 */
export function parseStep(
  { method, url, copySource, target }: TracedRequest,
  opened: ReadonlySet<string>,
): Step | undefined {
  if (target) return { stage: 'trigger' };
  const [path = '', query = ''] = url.split('?');
  const params = new URLSearchParams(query);
  const sha1 = params.get('fileSha') ?? '';
  switch (params.get('Action')) {
    case 'InitUpload':
      return { stage: 'init', sha1 };
    case 'UploadPart':
      return { stage: 'parts', sha1, part: { sha1, offset: Number(params.get('offset')) } };
    case 'FinishUpload':
      return { stage: 'finish', sha1 };
  }
  const key = path.split('/').slice(2).join('/');
  if (key === '' || method === 'HEAD') return undefined;
  if (params.has('uploadId') && opened.has(key)) return { stage: 'write-back' };
  if (method === 'GET')
    return params.has('acl') || params.has('tagging')
      ? undefined
      : { stage: opened.has(key) ? 'parts' : 'hash' };
  return { stage: copySource || opened.has(key) ? 'write-back' : 'upload' };
}
