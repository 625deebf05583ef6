// The package types its root alone. The root is one CommonJS file that requires every store, 53 KB of a minified bundle.

declare module 'rate-limiter-flexible/lib/RateLimiterDynamo.js' {
  import { RateLimiterDynamo } from 'rate-limiter-flexible';
  export default RateLimiterDynamo;
}

declare module 'rate-limiter-flexible/lib/RateLimiterMemory.js' {
  import { RateLimiterMemory } from 'rate-limiter-flexible';
  export default RateLimiterMemory;
}
