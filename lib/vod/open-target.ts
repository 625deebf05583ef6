import type { AnyVodSettings, VodApiVersion, VodSecrets } from '../config.ts';
import { createCosClient } from '../cos/client.ts';
import type { Quota } from '../quota/quota.ts';
import type { VodTarget } from './target.ts';
import { createVodClient } from './v2/client.ts';
import { createTarget as createV2Target } from './v2/target.ts';
import { createVodApi } from './v2018/api.ts';
import { createTarget as createV2018Target } from './v2018/target.ts';

/** `maxFunctions`: those of one object that send parts concurrently. */
type Options = Readonly<{ secrets: VodSecrets; quota: Quota; maxFunctions: number }>;

const TARGETS: Readonly<Record<VodApiVersion, (settings: AnyVodSettings, options: Options) => VodTarget>> = {
  '2.0': (settings, { secrets, quota, maxFunctions }) =>
    createV2Target(createVodClient({ ...settings, secrets }, quota), maxFunctions),
  '2018-07-17': ({ endpoint, subAppId, storageRegion, cosEndpoint }, { secrets, quota, maxFunctions }) =>
    createV2018Target({
      api: createVodApi({ endpoint, subAppId, secrets }, quota),
      cos: createCosClient({ endpoint: cosEndpoint }),
      ...{ secrets, storageRegion, maxFunctions },
    }),
};

/** Opens the target of the API that the settings choose. No other code depends on the API. */
export const openTarget = (settings: AnyVodSettings, options: Options): VodTarget =>
  TARGETS[settings.api](settings, options);
