import { AsyncLocalStorage } from 'node:async_hooks';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import * as v from 'valibot';
import { type Environment, stageOf } from '../lib/config.ts';
import { QuotaExceeded } from '../lib/errors.ts';
import { type Progress, type Retries, watchProgress, watchRetries } from '../lib/progress.ts';
import { Outcome } from '../lib/schemas.ts';

/**
 * What each invocation did, as CloudWatch metrics: one line in the embedded metric format on standard output, in Lambda
 * only. Watches what the rooms of lib tell of their work (`lib/progress.ts`); they know nothing of it.
 */

/** Letters and digits only: others would need quotes in the dashboard's searches. */
export const NAMESPACE = 'S3Vod';
/** As the log has it too. With `stage` and `step` it makes the dimensions. */
const SERVICE = 's3-vod';

const { Count, Bytes, Seconds } = MetricUnit;

/** Every metric and its unit. docs/reference/metrics.md tells what each counts, `deploy/observability.yml` shows them. */
export const METRICS = {
  Uploaded: Count,
  Instant: Count,
  Unchanged: Count,
  Waiting: Count,
  Superseded: Count,
  Deleted: Count,
  Skipped: Count,
  PartsSent: Count,
  BytesSent: Bytes,
  BytesHashed: Bytes,
  HashSeconds: Seconds,
  StepSeconds: Seconds,
  StorageRetries: Count,
  VodRetries: Count,
  Failures: Count,
  QuotaExceeded: Count,
  MessagesFailed: Count,
} as const;
type Metric = keyof typeof METRICS;

const OUTCOMES: Readonly<Record<Outcome, Metric>> = {
  uploaded: 'Uploaded',
  instant: 'Instant',
  unchanged: 'Unchanged',
  waiting: 'Waiting',
  superseded: 'Superseded',
  deleted: 'Deleted',
  skipped: 'Skipped',
};

/** `id`: the invocation's, which its log lines carry too. */
export type Measured = Readonly<{ step: string; id: string; env: Environment }>;

/** Runs an invocation, and in Lambda writes its metrics when it has ended, well or not. What comes of it is `run`'s. */
export async function withMetrics<T>({ step, id, env }: Measured, run: () => Promise<T>): Promise<T> {
  // Lambda itself sets it. Elsewhere standard output is for others.
  if (!env.AWS_LAMBDA_FUNCTION_NAME) return run();
  const tally = new InvocationMetrics();
  // An instance of its own: one for all would add up what runs side by side.
  const metrics = new Metrics({
    namespace: NAMESPACE,
    serviceName: SERVICE,
    defaultDimensions: { stage: stageOf(env), step },
  });
  metrics.addMetadata('function_request_id', id);
  try {
    const result = await tallies.run(tally, run);
    tally.onResult(result);
    return result;
  } catch (error) {
    tally.onError(error);
    metrics.addMetadata('error', error instanceof Error ? error.name : 'unknown');
    throw error;
  } finally {
    tally.add('StepSeconds', secondsSince(tally.began));
    for (const [metric, value] of tally.values) metrics.addMetric(metric, METRICS[metric], value);
    metrics.publishStoredMetrics();
  }
}

const Ended = v.object({ next: v.literal('done'), outcome: Outcome });
const BatchResponse = v.object({ batchItemFailures: v.array(v.unknown()) });

/** One invocation's values, of those metrics that it has anything to say of. */
class InvocationMetrics {
  readonly values = new Map<Metric, number>();
  readonly began = performance.now();
  #hashing: { from: number; began: number } | undefined;

  add(metric: Metric, value: number): void {
    this.values.set(metric, (this.values.get(metric) ?? 0) + value);
  }

  onProgress(step: Progress): void {
    if (step.stage === 'part') {
      this.add('PartsSent', 1);
      this.add('BytesSent', step.bytes);
    } else if (step.stage === 'hash') {
      this.#hashing ??= { from: step.done, began: performance.now() };
      this.values.set('BytesHashed', step.done - this.#hashing.from);
      this.values.set('HashSeconds', secondsSince(this.#hashing.began));
    }
  }

  onRetries({ of, count }: Retries): void {
    this.add(of === 'S3' ? 'StorageRetries' : 'VodRetries', count);
  }

  /** The answer says whether the object has come to its end, or which messages of a batch have failed. */
  onResult(result: unknown): void {
    if (v.is(Ended, result)) this.add(OUTCOMES[result.outcome], 1);
    if (v.is(BatchResponse, result)) this.add('MessagesFailed', result.batchItemFailures.length);
  }

  onError(error: unknown): void {
    this.add('Failures', 1);
    if (error instanceof QuotaExceeded) this.add('QuotaExceeded', 1);
  }
}

const secondsSince = (began: number): number => (performance.now() - began) / 1000;

/** Finds the invocation that a word of lib belongs to, also where several run side by side in one process. */
const tallies = new AsyncLocalStorage<InvocationMetrics>();
watchProgress((step) => tallies.getStore()?.onProgress(step));
watchRetries((retries) => tallies.getStore()?.onRetries(retries));
