import { AsyncLocalStorage } from 'node:async_hooks';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import * as v from 'valibot';
import { type Environment, stageOf } from '../lib/config.ts';
import { QuotaExceeded } from '../lib/errors.ts';
import { type Progress, type Retries, watchProgress, watchRetries } from '../lib/progress.ts';
import { Outcome } from '../lib/schemas.ts';

/**
 * Writes one line of CloudWatch metrics per invocation, in the embedded metric format, to standard output. The values come
 * from the reports of `lib/progress.ts`.
 */

/** Letters and digits only: other characters would need quotes in the searches of the dashboard. */
export const NAMESPACE = 'S3Vod';

const { Count, Bytes, Seconds } = MetricUnit;

/** Each metric with its unit. */
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

/** An outcome counts under its capitalized name. */
const outcomeMetric = (outcome: Outcome): Metric =>
  outcome.replace(/^./, (initial) => initial.toUpperCase()) as Capitalize<Outcome>;

/** `id`: the request ID of the invocation, which its log lines have too. */
type Invocation = Readonly<{ step: string; id: string; env: Environment }>;

/** Runs an invocation and, in Lambda, writes its metrics. Returns and throws what `run` returns and throws. */
export async function withMetrics<T>({ step, id, env }: Invocation, run: () => Promise<T>): Promise<T> {
  // Only Lambda sets this variable. Elsewhere, standard output has other uses.
  if (!env.AWS_LAMBDA_FUNCTION_NAME) return run();
  const values = new InvocationMetrics();
  // One instance per invocation: a shared one would add up concurrent invocations.
  const metrics = new Metrics({
    namespace: NAMESPACE,
    serviceName: 's3-vod',
    defaultDimensions: { stage: stageOf(env), step },
  });
  metrics.addMetadata('function_request_id', id);
  try {
    const result = await current.run(values, run);
    values.onResult(result);
    return result;
  } catch (error) {
    values.onError(error);
    metrics.addMetadata('error', error instanceof Error ? error.name : 'unknown');
    throw error;
  } finally {
    values.add('StepSeconds', secondsSince(values.startedAt));
    for (const [metric, value] of values.totals) metrics.addMetric(metric, METRICS[metric], value);
    metrics.publishStoredMetrics();
  }
}

const FinalResult = v.object({ next: v.literal('done'), outcome: Outcome });
const BatchResponse = v.object({ batchItemFailures: v.array(v.unknown()) });

/** The values of one invocation. A metric without a value is not written. */
class InvocationMetrics {
  readonly totals = new Map<Metric, number>();
  readonly startedAt = performance.now();
  #hashing: { from: number; startedAt: number } | undefined;

  add(metric: Metric, value: number): void {
    this.totals.set(metric, (this.totals.get(metric) ?? 0) + value);
  }

  onProgress(progress: Progress): void {
    if (progress.stage === 'part') {
      this.add('PartsSent', 1);
      this.add('BytesSent', progress.bytes);
    } else if (progress.stage === 'hash') {
      this.#hashing ??= { from: progress.done, startedAt: performance.now() };
      this.totals.set('BytesHashed', progress.done - this.#hashing.from);
      this.totals.set('HashSeconds', secondsSince(this.#hashing.startedAt));
    }
  }

  onRetries({ of, count }: Retries): void {
    this.add(of === 'S3' ? 'StorageRetries' : 'VodRetries', count);
  }

  onResult(result: unknown): void {
    if (v.is(FinalResult, result)) this.add(outcomeMetric(result.outcome), 1);
    if (v.is(BatchResponse, result)) this.add('MessagesFailed', result.batchItemFailures.length);
  }

  onError(error: unknown): void {
    this.add('Failures', 1);
    if (error instanceof QuotaExceeded) this.add('QuotaExceeded', 1);
  }
}

const secondsSince = (startedAt: number): number => (performance.now() - startedAt) / 1000;

/** The invocation of a report. Several run concurrently in one process of the local engine. */
const current = new AsyncLocalStorage<InvocationMetrics>();
watchProgress((progress) => current.getStore()?.onProgress(progress));
watchRetries((retries) => current.getStore()?.onRetries(retries));
