import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { JsonStore } from '../../../cli/json-store.ts';
import { ApiError } from './api-error.ts';
import { MediaFacts } from './sessions.ts';

/** Three days. A session ID is used up for this time. */
const SESSION_ID_MS = 3 * 24 * 3_600_000;

const Task = v.object({
  taskId: v.string(),
  /** ms since 1970. */
  createdAt: v.number(),
  fileId: v.string(),
  sessionId: v.optional(v.string()),
  /** A PullUpload. Other tasks return the hashes of a file. */
  pull: v.optional(v.object({ url: v.string(), facts: MediaFacts })),
  /** The end of a PullUpload. `errCode` 0: the file is stored. */
  ended: v.optional(v.object({ errCode: v.number(), message: v.string() })),
});
export type Task = Readonly<v.InferOutput<typeof Task>>;
export type TaskStatus = 'WAITING' | 'PROCESSING' | 'FINISH';

/** The asynchronous tasks, in the folder `tasks`. */
export class Tasks {
  readonly #store: JsonStore<typeof Task>;
  readonly #tasks: Map<string, Task>;
  readonly #taskMs: number;

  /** `taskMs`: the shortest duration of a task. */
  constructor(folder: string, taskMs: number) {
    this.#store = new JsonStore(folder, Task);
    this.#tasks = new Map(this.#store.all().map((task) => [task.taskId, task]));
    this.#taskMs = taskMs;
  }

  all(): readonly Task[] {
    return [...this.#tasks.values()];
  }

  find(taskId: string): Task | undefined {
    return this.#tasks.get(taskId);
  }

  /** @throws {ApiError} if the session ID was used within three days */
  create(task: Omit<Task, 'taskId'>): Task {
    const isRepeated = this.all().some(
      ({ sessionId, createdAt }) =>
        sessionId !== undefined && sessionId === task.sessionId && createdAt > task.createdAt - SESSION_ID_MS,
    );
    if (isRepeated) {
      throw new ApiError(
        'InvalidParameterValue.SessionId',
        'SessionId: used by another request within three days.',
      );
    }
    const created = {
      ...task,
      taskId: `local-${task.pull ? 'PullUpload' : 'FileAttributes'}-${randomBytes(16).toString('hex')}`,
    };
    this.#save(created);
    return created;
  }

  end(task: Task, errCode: number, message: string): void {
    this.#save({ ...task, ended: { errCode, message } });
  }

  statusOf({ createdAt, pull, ended }: Task, now: number): TaskStatus {
    const age = now - createdAt;
    if (age < this.#taskMs / 2) return 'WAITING';
    return age < this.#taskMs || (pull && !ended) ? 'PROCESSING' : 'FINISH';
  }

  #save(task: Task): void {
    this.#store.put(task.taskId, task);
    this.#tasks.set(task.taskId, task);
  }
}
