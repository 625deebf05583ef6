import type { SQSBatchResponse } from 'aws-lambda';
import * as v from 'valibot';
import { triggerSettings } from '../lib/config.ts';
import { messagesOf } from '../lib/trigger/events.ts';
import { type Started, startExecution, stepFunctionsClient } from '../lib/trigger/executions.ts';
import { createHandler } from './create-handler.ts';

/**
 * Takes every shape an event comes in and starts one execution for each object named. In a batch from a queue each message
 * fails alone; any other event fails as a whole. A person who asks gets the executions' names.
 */
export const handler = createHandler(
  'trigger',
  v.unknown(),
  () => ({}),
  async (event, { awsRequestId, deadline, log }): Promise<SQSBatchResponse | { executions: Started[] }> => {
    const { stateMachineArn } = triggerSettings(process.env);
    const sfn = stepFunctionsClient(process.env);
    const executions: Started[] = [];
    const batchItemFailures: { itemIdentifier: string }[] = [];
    const messages = messagesOf(event);
    for (const { messageId, parseObjects: read } of messages) {
      try {
        for (const { request, dedupeKey } of read()) {
          // A person who asks means now: each message, or invocation, is an occasion of its own.
          const salt = dedupeKey === 'manual' ? (messageId ?? awsRequestId) : dedupeKey;
          const execution = await startExecution(sfn, stateMachineArn, request, salt, deadline.signal);
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
