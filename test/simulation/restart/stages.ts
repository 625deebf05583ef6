import type { Sighting } from './witness.ts';

/** The course of an object, as the requests that its steps make tell it. */
export const STAGES = ['drop', 'trigger', 'hash', 'init', 'parts', 'finish', 'write-back'] as const;
export type Stage = (typeof STAGES)[number];

/** A part as VOD is asked to take it. */
export type SentPart = Readonly<{ sha1: string; offset: number }>;

/** `sha1`: of the film that a call to VOD is about. */
export type Step = Readonly<{ stage: Stage; sha1?: string; part?: SentPart }>;

/**
 * What a request is about, where it is a step of some object. `opened`: the keys whose upload is open by now; a read of any
 * other is of its hash pass.
 */
export function stepOf(
  { method, url, copySource, target }: Sighting,
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
  if (method === 'GET')
    return params.has('acl') || params.has('tagging')
      ? undefined
      : { stage: opened.has(key) ? 'parts' : 'hash' };
  return { stage: copySource || opened.has(key) ? 'write-back' : 'drop' };
}
