import { type FileHandle, open, readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { runOnDisk } from './vod-error.ts';

/** Everything that InitUpload states about a file, except its size and hash. */
export const FileInfo = v.object({
  fileName: v.string(),
  fileType: v.string(),
  tags: v.pipe(v.array(v.string()), v.readonly()),
  classId: v.number(),
  isTranscode: v.picklist([0, 1]),
  isScreenshot: v.picklist([0, 1]),
  isWatermark: v.picklist([0, 1]),
});
export type FileInfo = v.InferOutput<typeof FileInfo>;

const Plan = v.object({ fileSize: v.number(), partSize: v.number(), about: FileInfo });
export type Plan = Readonly<v.InferOutput<typeof Plan>>;

/** A part is identified by its offset. `moving`: the file is verified and is about to be stored with this fileId. */
const Entry = v.variant('entry', [
  v.object({ entry: v.literal('opened'), ...Plan.entries }),
  v.object({ entry: v.literal('described'), about: FileInfo }),
  v.object({ entry: v.literal('held'), offset: v.number(), md5: v.string() }),
  v.object({ entry: v.literal('dropped'), offset: v.number() }),
  v.object({ entry: v.literal('moving'), fileId: v.string() }),
]);
type Entry = v.InferOutput<typeof Entry>;

/** The state of an upload after all its entries. `held`: the MD5 of each part (hex), by offset. */
export type UploadProgress = Omit<Plan, 'about'> & {
  about: FileInfo;
  held: Map<number, string>;
  movingTo?: string;
};

/** The append-only log of one upload: a line of JSON for each event. */
export class UploadLog {
  readonly progress: UploadProgress;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, progress: UploadProgress) {
    this.#file = file;
    this.progress = progress;
  }

  static async create(path: string, plan: Plan): Promise<UploadLog> {
    const log = new UploadLog(await open(path, 'a'), { ...plan, held: new Map() });
    await log.append({ entry: 'opened', ...plan }).catch(async (error) => {
      await log.close();
      throw error;
    });
    return log;
  }

  static async resume(path: string, progress: UploadProgress): Promise<UploadLog> {
    return new UploadLog(await open(path, 'a'), progress);
  }

  /**
   * Each line starts with its line break instead of ending with it. The line after an incomplete one is then intact, and
   * the incomplete one, the start of a JSON object, never parses.
   */
  async append(entry: Entry): Promise<void> {
    const line = Buffer.from(`\n${JSON.stringify(entry)}`);
    await runOnDisk('write', 'writing the journal', async () => {
      const { bytesWritten } = await this.#file.write(line);
      if (bytesWritten !== line.length) throw new Error(`${bytesWritten} of ${line.length} bytes`);
    });
    apply(this.progress, entry);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Returns undefined if the process was killed before the first line was complete. */
export async function readUploadLog(path: string): Promise<UploadProgress | undefined> {
  const [opened, ...later] = (await readFile(path, 'utf8')).split('\n').flatMap((line) => {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), Entry), line);
    return parsed.success ? [parsed.output] : [];
  });
  if (opened?.entry !== 'opened') return undefined;
  const { entry: _, ...plan } = opened;
  const progress: UploadProgress = { ...plan, held: new Map() };
  for (const entry of later) apply(progress, entry);
  return progress;
}

function apply(progress: UploadProgress, entry: Entry): void {
  if (entry.entry === 'described') progress.about = entry.about;
  if (entry.entry === 'held') progress.held.set(entry.offset, entry.md5);
  if (entry.entry === 'dropped') progress.held.delete(entry.offset);
  if (entry.entry === 'moving') progress.movingTo = entry.fileId;
}
