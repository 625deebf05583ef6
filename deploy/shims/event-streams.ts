/**
 * Stands in for `@smithy/core/event-streams` in the bundles. Only the answers of S3's SelectObjectContent are event streams, and nothing
 * here asks for them. The SDK imports it late, with `import()`, for which esbuild would keep half of the SDK whole.
 * docs/decisions/0008-bundles.md
 */

/** What the S3 client does of it when it is made: nothing, without an event stream. */
export const resolveEventStreamSerdeConfig = <T>(config: T): T => config;

function leftOut(): never {
  throw new Error('event streams are not in the bundle: deploy/shims/event-streams.ts');
}

export { leftOut as EventStreamSerde, leftOut as eventStreamSerdeProvider };
