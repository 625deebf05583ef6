import type { CommittedFile, VodApi } from './api.ts';
import { isCode } from './responses.ts';
import type { Session } from './session.ts';
import { ApiRejected } from './transport.ts';

/**
 * Recognizes the file of a CommitUpload whose response was lost, because VOD does not find files by their SourceContext. The form
 * of the path is not documented: its directory ends with the FileId, as in `/9c81d7b1vodcq1500000000/3f2a9b0d5285890781763144364/f0.mp4`.
 * A wrong guess finds no file, or one with another SourceContext.
 */

const MIN_DIGITS = 15;
const MAX_DIGITS = 20;

/**
 * @param path the MediaStoragePath of an upload
 * @returns the texts of 20 to 15 digits at the end of its directory, the longest first. A hexadecimal text before the FileId can end
 * with digits, so its length is unknown
 */
export function fileIdCandidates(path: string): string[] {
  const directory = path.split('/').at(-2) ?? '';
  const digits = /[0-9]*$/.exec(directory)?.[0] ?? '';
  const candidates: string[] = [];
  for (let length = Math.min(MAX_DIGITS, digits.length); length >= MIN_DIGITS; length--)
    candidates.push(digits.slice(-length));
  return candidates.filter((candidate) => !candidate.startsWith('0'));
}

/**
 * Finds the file that VOD made of an upload.
 * @returns undefined when no candidate has the SourceContext of the upload
 * @throws as `VodApi` does
 */
export async function recognizeFile(
  api: Pick<VodApi, 'describeMediaInfos'>,
  { path, sourceContext }: Pick<Session, 'path' | 'sourceContext'>,
  signal: AbortSignal,
): Promise<CommittedFile | undefined> {
  const candidates = fileIdCandidates(path);
  if (candidates.length === 0 || sourceContext === '') return undefined;
  const files = await api.describeMediaInfos(candidates, signal).catch((error: unknown) => {
    if (error instanceof ApiRejected && REJECTED_IDS.some((code) => isCode(error.code, code))) return [];
    throw error;
  });
  const file = files.find((file) => candidates.includes(file.fileId) && file.sourceContext === sourceContext);
  return file && { fileId: file.fileId, url: file.url };
}

/** VOD can reject IDs that no file can have. */
const REJECTED_IDS = ['InvalidParameterValue.FileIds', 'InvalidParameterValue.FileId', 'ResourceNotFound'];
