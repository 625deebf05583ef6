/** The constants of the model, with their sources. Times in milliseconds, rates in MiB per second. */

export const MiB = 1024 ** 2;
export const GiB = 1024 ** 3;

/** Amounts per second of a function with 1,024 MB. */
export const FUNCTION = {
  /** Each way, whatever the memory, after a burst: https://arxiv.org/abs/2501.07771 */
  networkMiB: 75,
  burstMiB: 300,
  /** The share of a core at 1,024 MB. A whole core needs 1,769 MB: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html */
  cores: 1024 / 1769,
  /** CPU of a whole core to read, decrypt, digest (MD5), encrypt, and send one MiB: `npm run bench -- upload`, plus TLS both ways. */
  sendMsPerMiB: 9.5,
  /** CPU of a whole core for the two CRC64 of one MiB, at 1.1 GiB/s each. */
  crcMsPerMiB: 1.8,
  /** CPU of a whole core to read, decrypt, and hash one MiB: `npm run bench -- hash`, plus TLS. */
  hashMsPerMiB: 5,
} as const;

export const LAMBDA = {
  /** From the request to the start of the handler, with a warm environment. */
  invokeMs: 20,
  /** A new environment: download, Node.js, and the bundle (`npm run bench -- import`). Billed as time of the function. */
  coldStartMs: 600,
  /** An environment without work stays warm for some minutes; AWS documents no time. */
  keepWarmMs: 5 * 60_000,
} as const;

export const S3 = {
  latencyMs: 30,
  /** S3 copies a part at about 100 MB/s: https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html */
  copyMiB: 95,
  /** From the write to the message in the queue, through EventBridge. */
  eventMs: 700,
} as const;

export const VOD = {
  latencyMs: 100,
  /** The latency of a call differs by up to this share, up or down. */
  latencySpread: 0.3,
  /** FinishUpload joins the parts. */
  finishMs: 400,
  /** The quota of an account: https://cloud.tencent.com/document/product/266 */
  callsPerMinute: 100,
  partsPerMinute: 10_000,
  /** A request to a service that is gone fails after this time: the connection timeout of `lib/vod/http.ts`. */
  goneMs: 5_000,
} as const;

export const DYNAMODB = { latencyMs: 5 } as const;

export const STEP_FUNCTIONS = {
  startMs: 40,
} as const;

export const SQS = {
  requestMs: 10,
  longPollMs: 20_000,
  /** Messages that are delivered a second time although they were deleted. */
  duplicates: 0.0005,
  retentionMs: 14 * 24 * 3_600_000,
} as const;
