import * as v from 'valibot';
import { ApiError, type Operations, parseBody } from './api-error.ts';
import type { Queue } from './queue.ts';

/**
 * The calls of SQS that the operators make: how many messages there are, and dead letters back to the queue.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
 */

export const QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:queue';
export const DEAD_LETTER_QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:dead-letters';

export const queueUrl = (endpoint: string, arn: string): string =>
  `${endpoint}/000000000000/${arn.slice(arn.lastIndexOf(':') + 1)}`;

const Attributes = v.object({ QueueUrl: v.string() });
const Move = v.object({
  SourceArn: v.string(),
  DestinationArn: v.optional(v.literal(QUEUE_ARN), QUEUE_ARN),
});
const Moves = v.object({ SourceArn: v.string() });

type Task = Readonly<{ moved: number; started: number }>;

export function sqsOperations(queue: Queue): Operations {
  const tasks: Task[] = [];
  return {
    GetQueueAttributes(body) {
      const { QueueUrl } = parseBody(Attributes, body);
      const count = { queue: () => queue.waiting, 'dead-letters': () => queue.deadLetters().length };
      const name = QueueUrl.slice(QueueUrl.lastIndexOf('/') + 1);
      if (name !== 'queue' && name !== 'dead-letters') {
        throw new ApiError('QueueDoesNotExist', `The specified queue does not exist: ${QueueUrl}`);
      }
      return { Attributes: { ApproximateNumberOfMessages: String(count[name]()) } };
    },

    StartMessageMoveTask(body) {
      const { SourceArn } = parseBody(Move, body);
      checkSource(SourceArn);
      tasks.unshift({ moved: queue.redrive(), started: Date.now() });
      return { TaskHandle: String(tasks.length) };
    },

    ListMessageMoveTasks(body) {
      checkSource(parseBody(Moves, body).SourceArn);
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

function checkSource(arn: string): void {
  if (arn === DEAD_LETTER_QUEUE_ARN) return;
  throw new ApiError('ResourceNotFoundException', `${arn} is not the queue of dead letters`);
}
