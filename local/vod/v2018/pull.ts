import { Readable } from 'node:stream';
import type { Library } from './library.ts';
import type { Task, Tasks } from './tasks.ts';

/** The documented codes of a task: the source is unusable, and an error that a repetition may avoid. */
const SOURCE_ERROR = 60_000;
const INTERNAL_ERROR = 70_000;

/** Fetches the files of PullUpload in the background. */
export class Pulls {
  readonly #tasks: Tasks;
  readonly #library: Library;
  readonly #save: () => Promise<void>;
  readonly #stopped = new AbortController();
  readonly #running = new Set<Promise<void>>();

  /** `save`: writes the index of files. */
  constructor(tasks: Tasks, library: Library, save: () => Promise<void>) {
    this.#tasks = tasks;
    this.#library = library;
    this.#save = save;
  }

  /** Starts the tasks that an earlier run of the service left. */
  resume(): void {
    for (const task of this.#tasks.all()) if (task.pull && !task.ended) this.start(task);
  }

  start(task: Task): void {
    const pulled = this.#pull(task).finally(() => this.#running.delete(pulled));
    this.#running.add(pulled);
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#running);
  }

  async #pull(task: Task): Promise<void> {
    if (!task.pull) return;
    const { url, facts } = task.pull;
    try {
      const response = await fetch(url, { signal: this.#stopped.signal });
      if (!response.ok || !response.body) {
        await response.body?.cancel();
        return this.#tasks.end(task, SOURCE_ERROR, `the source: expected status 200, got ${response.status}`);
      }
      await this.#library.add(task.fileId, facts, Readable.fromWeb(response.body), `/pulled/${task.fileId}`);
      await this.#save();
      this.#tasks.end(task, 0, '');
    } catch (error) {
      if (this.#stopped.signal.aborted) return; // the next start repeats it
      this.#tasks.end(task, INTERNAL_ERROR, error instanceof Error ? error.message : String(error));
    }
  }
}
