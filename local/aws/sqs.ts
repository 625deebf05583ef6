import * as v from 'valibot';
import { ApiError, type Operations, parseBody } from './api-error.ts';
import type { Queue } from './queue.ts';

export const QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:queue';
export const DEAD_LETTER_QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:dead-letters';

export const queueUrl = (endpoint: string, arn: string): string =>
  `${endpoint}/000000000000/${arn.slice(arn.lastIndexOf(':') + 1)}`;

const GetQueueAttributesInput = v.object({ QueueUrl: v.string() });
const StartMoveInput = v.object({
  SourceArn: v.string(),
  DestinationArn: v.optional(v.literal(QUEUE_ARN), QUEUE_ARN),
});
const ListMovesInput = v.object({ SourceArn: v.string() });

/**
 * The SQS actions of the operators' commands: counting messages and redriving dead letters.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
 */
export function sqsOperations(queue: Queue): Operations {
  const tasks: { moved: number; started: number }[] = [];
  return {
    GetQueueAttributes(body) {
      const { QueueUrl } = parseBody(GetQueueAttributesInput, body);
      const count = { queue: () => queue.waiting, 'dead-letters': () => queue.deadLetters().length };
      const name = QueueUrl.slice(QueueUrl.lastIndexOf('/') + 1);
      if (name !== 'queue' && name !== 'dead-letters') {
        throw new ApiError('QueueDoesNotExist', `The specified queue does not exist: ${QueueUrl}`);
      }
      return { Attributes: { ApproximateNumberOfMessages: String(count[name]()) } };
    },

    StartMessageMoveTask(body) {
      assertDeadLetterQueue(parseBody(StartMoveInput, body).SourceArn);
      tasks.unshift({ moved: queue.redrive(), started: Date.now() });
      return { TaskHandle: String(tasks.length) };
    },

    ListMessageMoveTasks(body) {
      assertDeadLetterQueue(parseBody(ListMovesInput, body).SourceArn);
      const results = tasks.slice(0, 10).map(({ moved, started }) => ({
        Status: 'COMPLETED',
        SourceArn: DEAD_LETTER_QUEUE_ARN,
        DestinationArn: QUEUE_ARN,
        ApproximateNumberOfMessagesMoved: moved,
        ApproximateNumberOfMessagesToMove: moved,
        StartedTimestamp: started,
      }));
      return { Results: results };
    },
  };
}

function assertDeadLetterQueue(arn: string): void {
  if (arn === DEAD_LETTER_QUEUE_ARN) return;
  throw new ApiError('ResourceNotFoundException', `${arn} is not the dead-letter queue`);
}
