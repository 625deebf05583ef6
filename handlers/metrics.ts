import { AsyncLocalStorage } from 'node:async_hooks';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import * as v from 'valibot';
import { type Environment, stageOf } from '../lib/config.ts';
import { QuotaExceeded } from '../lib/errors.ts';
import { type Progress, type Retries, watchProgress, watchRetries } from '../lib/invocation/progress.ts';
import { Outcome } from '../lib/schemas.ts';

/**
 * Writes the CloudWatch metrics of an invocation in one line, in the embedded metric format, to standard output. The values
 * come from its result and from the reports of `lib/invocation/progress.ts`. Without values there is no line.
 */

export const NAMESPACE = 'S3Vod';

const { Count, Bytes } = MetricUnit;

/** Each metric with its unit. AWS/Lambda and AWS/States count failures and measure durations. */
export const METRICS = {
  Uploaded: Count,
  Unchanged: Count,
  NotUploaded: Count,
  PartsSent: Count,
  BytesSent: Bytes,
  StorageRetries: Count,
  VodRetries: Count,
  QuotaExceeded: Count,
  MessagesFailed: Count,
} as const;
type Metric = keyof typeof METRICS;

const OUTCOME_METRICS: Readonly<Record<Outcome, Metric>> = {
  uploaded: 'Uploaded',
  instant: 'Uploaded',
  unchanged: 'Unchanged',
  waiting: 'NotUploaded',
  superseded: 'NotUploaded',
  deleted: 'NotUploaded',
  skipped: 'NotUploaded',
};

/** `id`: the request ID of the invocation, which its log lines have too. */
type Invocation = Readonly<{ step: string; id: string; env: Environment }>;

/** Runs an invocation and, in Lambda, writes its metrics. Returns and throws what `run` returns and throws. */
export async function withMetrics<T>(invocation: Invocation, run: () => Promise<T>): Promise<T> {
  // Only Lambda sets this variable. Elsewhere, standard output has other uses.
  if (!invocation.env.AWS_LAMBDA_FUNCTION_NAME) return run();
  const values = new InvocationMetrics();
  try {
    const result = await current.run(values, run);
    values.onResult(result);
    return result;
  } catch (error) {
    if (error instanceof QuotaExceeded) values.add('QuotaExceeded', 1);
    throw error;
  } finally {
    if (values.totals.size > 0) publish(values, invocation);
  }
}

function publish({ totals }: InvocationMetrics, { step, id, env }: Invocation): void {
  // One instance per invocation: a shared one would add up concurrent invocations.
  const metrics = new Metrics({
    namespace: NAMESPACE,
    serviceName: 's3-vod',
    // CloudWatch bills each metric for each combination of dimensions, so the step is only a field of the line.
    defaultDimensions: { stage: stageOf(env) },
  });
  metrics.addMetadata('step', step).addMetadata('function_request_id', id);
  for (const [metric, value] of totals) metrics.addMetric(metric, METRICS[metric], value);
  metrics.publishStoredMetrics();
}

const FinalResult = v.object({ next: v.literal('done'), outcome: Outcome });
/** The state machine waits for the quota, or for the turn of the object. */
const WaitingResult = v.object({ waitSeconds: v.number() });

/** The values of one invocation. A metric without a value is not written. */
class InvocationMetrics {
  readonly totals = new Map<Metric, number>();

  add(metric: Metric, value: number): void {
    this.totals.set(metric, (this.totals.get(metric) ?? 0) + value);
  }

  onProgress(progress: Progress): void {
    if (progress.stage !== 'part') return;
    this.add('PartsSent', 1);
    this.add('BytesSent', progress.bytes);
  }

  onRetries({ of, count }: Retries): void {
    this.add(of === 'S3' ? 'StorageRetries' : 'VodRetries', count);
  }

  onResult(result: unknown): void {
    if (v.is(FinalResult, result)) this.add(OUTCOME_METRICS[result.outcome], 1);
    if (v.is(WaitingResult, result)) this.add('QuotaExceeded', 1);
  }
}

/** Adds to a metric of the current invocation. Does nothing outside Lambda. */
export const addMetric = (metric: Metric, value: number): void => current.getStore()?.add(metric, value);

/** The invocation of a report. Several run concurrently in one process of the local engine. */
const current = new AsyncLocalStorage<InvocationMetrics>();
watchProgress((progress) => current.getStore()?.onProgress(progress));
watchRetries((retries) => current.getStore()?.onRetries(retries));
