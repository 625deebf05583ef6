import { cacheByKey } from '../aws/cached-resource.ts';
import { type Environment, triggerSettings } from '../config.ts';
import { systemClock } from '../invocation/deadline.ts';
import { openQuota } from '../quota/open-quota.ts';
import { createS3Client } from '../s3/client.ts';
import { isWrittenBack } from '../write-back/written-back.ts';
import type { DispatchServices } from './dispatch.ts';
import { createStepFunctionsClient, startExecution } from './executions.ts';
import { createQueueClient } from './queue.ts';

/** The clients of the trigger. One set serves all invocations, so connections stay open. A changed setting creates a new set. */

/**
 * The longest wait for the quota: the time that an invocation has. Waiting in the function is cheap here: at most two of them
 * wait for the whole stack, and the messages behind them stay in order. The deadline ends the wait of a shorter invocation.
 */
const MAX_WAIT_MS = 55_000;

const cached = cacheByKey<DispatchServices & Readonly<{ close(): void }>>(({ close }) => close());

/** @throws {InvalidSetting} */
export function triggerServicesFor(env: Environment): DispatchServices {
  const settings = triggerSettings(env);
  const key = JSON.stringify([
    settings,
    env.AWS_ENDPOINT_URL_SFN,
    env.AWS_ACCESS_KEY_ID,
    env.AWS_SECRET_ACCESS_KEY,
  ]);
  return cached.get(key, () => {
    const sfn = createStepFunctionsClient();
    const s3 = createS3Client({ endpoint: settings.s3Endpoint });
    const queue = createQueueClient(settings.queue);
    const { quota, admission, close: closeQuota } = openQuota(settings.quota, { maxWaitMs: MAX_WAIT_MS });
    return {
      startExecution: (name, request, signal) =>
        startExecution(sfn, settings.stateMachineArn, name, request, signal),
      isWrittenBack: (request, signal) => isWrittenBack(s3, request, signal),
      quota,
      admission,
      queue,
      clock: systemClock,
      random: Math.random,
      close: () => {
        sfn.destroy();
        s3.destroy();
        queue.close();
        closeQuota();
      },
    };
  });
}

/** Closes idle connections. */
export const releaseTriggerServices = (): void => cached.release();
