import { fromEnv } from '@aws-sdk/credential-provider-env';

/**
 * Replaces `@aws-sdk/credential-provider-node` in the bundles. Lambda passes a function's credentials in the environment. The SDK's
 * default provider adds 130 KB for SSO, profiles, STS, and metadata services that never run there. See docs/decisions/0008-bundles.md.
 */
export const defaultProvider = () => fromEnv();
