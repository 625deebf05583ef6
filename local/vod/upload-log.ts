import { type FileHandle, open, readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { onDisk } from './vod-error.ts';

/** What InitUpload says of the file beside its bytes. */
export const About = v.object({
  fileName: v.string(),
  fileType: v.string(),
  tags: v.pipe(v.array(v.string()), v.readonly()),
  classId: v.number(),
  isTranscode: v.picklist([0, 1]),
  isScreenshot: v.picklist([0, 1]),
  isWatermark: v.picklist([0, 1]),
});
export type About = v.InferOutput<typeof About>;

const Opened = v.object({
  entry: v.literal('opened'),
  fileSize: v.number(),
  partSize: v.number(),
  about: About,
});

/** A part is named by its offset. `moving`: the whole file was proved and is about to become this fileId. */
const Entry = v.variant('entry', [
  Opened,
  v.object({ entry: v.literal('described'), about: About }),
  v.object({ entry: v.literal('held'), offset: v.number(), md5: v.string() }),
  v.object({ entry: v.literal('dropped'), offset: v.number() }),
  v.object({ entry: v.literal('moving'), fileId: v.string() }),
]);
type Entry = v.InferOutput<typeof Entry>;

export type Plan = Readonly<{ fileSize: number; partSize: number; about: About }>;

/** Where an upload stands: the sum of its entries. `held`: the MD5 of each part, by offset. */
export type Progress = Omit<Plan, 'about'> & { about: About; held: Map<number, string>; movingTo?: string };

/** The journal of one upload: a line of JSON for each thing that happened, only ever appended to. */
export class UploadLog {
  readonly progress: Progress;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, progress: Progress) {
    this.#file = file;
    this.progress = progress;
  }

  static async begin(path: string, plan: Plan): Promise<UploadLog> {
    const journal = new UploadLog(await open(path, 'a'), { ...plan, held: new Map() });
    await journal.note({ entry: 'opened', ...plan }).catch(async (error) => {
      await journal.close();
      throw error;
    });
    return journal;
  }

  static async resume(path: string, progress: Progress): Promise<UploadLog> {
    return new UploadLog(await open(path, 'a'), progress);
  }

  /**
   * A line begins with its line break instead of ending with it. So the line after a torn one is whole again, and the
   * torn one, being the beginning of a JSON object, never parses.
   */
  async note(entry: Entry): Promise<void> {
    const line = Buffer.from(`\n${JSON.stringify(entry)}`);
    await onDisk('write', 'writing the journal', async () => {
      const { bytesWritten } = await this.#file.write(line);
      if (bytesWritten !== line.length) throw new Error(`${bytesWritten} of ${line.length} bytes`);
    });
    apply(this.progress, entry);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Undefined where the process was killed before the first line was whole. */
export async function readJournal(path: string): Promise<Progress | undefined> {
  const [opened, ...later] = (await readFile(path, 'utf8')).split('\n').flatMap((line) => {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), Entry), line);
    return parsed.success ? [parsed.output] : [];
  });
  if (opened?.entry !== 'opened') return undefined;
  const { fileSize, partSize, about } = opened;
  const progress: Progress = { fileSize, partSize, about, held: new Map() };
  for (const entry of later) apply(progress, entry);
  return progress;
}

function apply(progress: Progress, entry: Entry): void {
  if (entry.entry === 'described') progress.about = entry.about;
  if (entry.entry === 'held') progress.held.set(entry.offset, entry.md5);
  if (entry.entry === 'dropped') progress.held.delete(entry.offset);
  if (entry.entry === 'moving') progress.movingTo = entry.fileId;
}
