/**
 * Replaces `@smithy/core/event-streams` in the bundles. Only S3's SelectObjectContent uses event streams. The SDK loads
 * them with `import()`, which makes esbuild keep half of the SDK whole. See docs/decisions/0008-bundles.md.
 */

/** The S3 client calls this when it is created. */
export const resolveEventStreamSerdeConfig = <T>(config: T): T => config;

function unavailable(): never {
  throw new Error('event streams: not in the bundle. See deploy/shims/event-streams.ts');
}

export { unavailable as EventStreamSerde, unavailable as eventStreamSerdeProvider };
