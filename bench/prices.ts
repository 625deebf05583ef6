/**
 * List prices in US dollars, us-east-1, without free tiers, as of November 2026. Sources:
 * https://aws.amazon.com/step-functions/pricing/  https://aws.amazon.com/lambda/pricing/  https://aws.amazon.com/s3/pricing/
 * https://aws.amazon.com/dynamodb/pricing/on-demand/  https://aws.amazon.com/sqs/pricing/  https://aws.amazon.com/eventbridge/pricing/
 */
export const PRICES = {
  /** Standard workflow; a retry is one as well. */
  transition: 0.025 / 1_000,
  /** arm64, first tier. */
  gbSecond: 0.0000133334,
  invocation: 0.2 / 1e6,
  /** GET, HEAD, and all others. */
  s3Read: 0.0004 / 1_000,
  /** PUT, COPY, POST, LIST. */
  s3Write: 0.005 / 1_000,
  /** On demand, of at most 1 KB. */
  tableWrite: 0.625 / 1e6,
  queueRequest: 0.4 / 1e6,
  /** S3's notifications are events that one opts into. */
  event: 1 / 1e6,
} as const;
