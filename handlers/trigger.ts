import type { SQSBatchResponse } from 'aws-lambda';
import * as v from 'valibot';
import { triggerSettings } from '../lib/config.ts';
import { messagesOf } from '../lib/trigger/events.ts';
import {
  executionName,
  type Started,
  startExecution,
  stepFunctionsClient,
} from '../lib/trigger/executions.ts';
import { createHandler } from './create-handler.ts';

/**
 * Starts one execution per object that an event names. Messages of a queue fail independently. Any other event fails as a
 * whole, and its response lists the executions.
 */
export const handler = createHandler(
  'trigger',
  v.unknown(),
  () => ({}),
  async (event, { awsRequestId, deadline, log }): Promise<SQSBatchResponse | { executions: Started[] }> => {
    const { stateMachineArn } = triggerSettings(process.env);
    const sfn = stepFunctionsClient(process.env);
    const executions: Started[] = [];
    const batchItemFailures: SQSBatchResponse['batchItemFailures'] = [];
    const messages = messagesOf(event);
    for (const { messageId, parseObjects } of messages) {
      try {
        for (const { request, dedupeKey } of parseObjects()) {
          // Each manual request starts an execution, even for a known version.
          const salt = dedupeKey === 'manual' ? (messageId ?? awsRequestId) : dedupeKey;
          const name = executionName(request, salt);
          const execution = await startExecution(sfn, stateMachineArn, name, request, deadline.signal);
          log.info('execution', { ...execution, bucket: request.bucket, key: request.key });
          executions.push(execution);
        }
      } catch (error) {
        if (messageId === undefined) throw error;
        log.error('message failed', { messageId, error: error instanceof Error ? error : String(error) });
        batchItemFailures.push({ itemIdentifier: messageId });
      }
    }
    return messages[0]?.messageId === undefined ? { executions } : { batchItemFailures };
  },
);
