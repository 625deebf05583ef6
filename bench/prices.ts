/**
 * List prices in US dollars, us-east-1, without free tiers, as of November 2026. Sources:
 * https://aws.amazon.com/step-functions/pricing/  https://aws.amazon.com/lambda/pricing/  https://aws.amazon.com/s3/pricing/
 * https://aws.amazon.com/dynamodb/pricing/on-demand/  https://aws.amazon.com/sqs/pricing/  https://aws.amazon.com/eventbridge/pricing/
 * https://aws.amazon.com/cloudwatch/pricing/
 */
export const PRICES = {
  /** Standard workflow. A retry is a transition, too. */
  transition: 0.025 / 1_000,
  /** arm64, first tier. */
  gbSecond: 0.0000133334,
  invocation: 0.2 / 1e6,
  /** GET, HEAD, and all others. */
  s3Read: 0.0004 / 1_000,
  /** PUT, COPY, POST, LIST. */
  s3Write: 0.005 / 1_000,
  /** On demand, at most 1 KB. */
  tableWrite: 0.625 / 1e6,
  /** On demand, at most 4 KB, eventually consistent. */
  tableRead: 0.0625 / 1e6,
  /** To the internet, per 10^9 bytes: us-east-1 and ap-southeast-1. https://aws.amazon.com/ec2/pricing/on-demand/#Data_Transfer */
  egressPerGB: [0.09, 0.12],
  queueRequest: 0.4 / 1e6,
  /** S3 notifications are opt-in events. */
  event: 1 / 1e6,
  /** A custom metric, first tier, and a metric of an alarm. */
  metricMonth: 0.3,
  alarmMonth: 0.1,
} as const;
