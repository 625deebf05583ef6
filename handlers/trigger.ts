import type { SQSBatchResponse } from 'aws-lambda';
import * as v from 'valibot';
import { dispatch } from '../lib/trigger/dispatch.ts';
import { messagesOf } from '../lib/trigger/events.ts';
import type { Started } from '../lib/trigger/executions.ts';
import { triggerServicesFor } from '../lib/trigger/services.ts';
import { createHandler } from './create-handler.ts';
import { addMetric } from './metrics.ts';

/**
 * Starts one execution per object that an event names. Messages of a queue fail independently. Any other event fails as a
 * whole, and its response lists the executions.
 */
export const handler = createHandler(
  'trigger',
  v.unknown(),
  () => ({}),
  async (event, { awsRequestId, deadline, log }): Promise<SQSBatchResponse | { executions: Started[] }> => {
    const services = triggerServicesFor(process.env);
    const executions: Started[] = [];
    const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
    const messages = messagesOf(event);
    for await (const { messageId = '', objects, ...result } of dispatch(
      messages,
      services,
      deadline,
      awsRequestId,
    )) {
      for (const { request, ...execution } of objects) {
        const { bucket, key } = request;
        log.info('execution', { ...execution, bucket, key });
        if (execution.status === 'unchanged') addMetric('Unchanged', 1);
        else executions.push(execution);
      }
      if (result.outcome === 'done') continue;
      const { error } = result;
      const details = { messageId, ...result, error: error instanceof Error ? error : String(error) };
      if (result.outcome === 'waiting') log.info('message waiting', details);
      else log.error(`message ${result.outcome}`, details);
      if (result.outcome === 'failed') addMetric('MessagesFailed', 1);
      if (result.outcome !== 'rejected') batchItemFailures.push({ itemIdentifier: messageId });
    }
    return messages[0]?.received ? { batchItemFailures } : { executions };
  },
);
