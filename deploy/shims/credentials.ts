import { fromEnv } from '@aws-sdk/credential-provider-env';

/**
 * Stands in for `@aws-sdk/credential-provider-node` in the bundles. Lambda hands a function its role's credentials in the environment; the
 * SDK's default chain looks there first, and then brings along SSO, profiles, STS, and metadata services: 130 KB that
 * would never run. docs/decisions/0008-bundles.md
 */
export const defaultProvider = () => fromEnv();
