import { availableParallelism } from 'node:os';
import { type CommandDefinition, integer, parseCommand } from '../../../cli/args.ts';
import { runMain } from '../../../cli/run-main.ts';
import { printUsage } from '../../../cli/usage.ts';
import { everyFault } from './plan.ts';
import { simulate } from './simulate.ts';

/** The long form of the simulation: each fault of each call by itself, then random plans. */

const MAX_SEED = 2 ** 31 - 1;

const TEST_FAULTS = {
  name: 'npm run test:faults',
  summary: 'Runs executions with faults: each fault of each call alone, then random plans.',
  arguments: [],
  options: {
    runs: integer('N', 'Number of plans', { min: 1, max: MAX_SEED, default: 1000 }),
    seed: integer('N', 'Repeat the plans of this seed', { min: 0, max: MAX_SEED, defaultText: 'random' }),
  },
} as const satisfies CommandDefinition;

async function main(argv: readonly string[]): Promise<number> {
  const args = parseCommand(TEST_FAULTS, argv, ({ values }) => values);
  if (args === 'help') return printUsage(TEST_FAULTS);
  const { runs, seed = Date.now() % MAX_SEED } = args;
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const began = performance.now();
  const took = (): string => `${((performance.now() - began) / 1000).toFixed(0)} s`;
  say(`${runs} plans, --seed ${seed} makes them again; ${availableParallelism()} cores`);
  const { failure, ...total } = await simulate({
    runs,
    seed,
    first: everyFault,
    onRun: (done) => {
      if (done % 100 === 0) say(`${done} in ${took()}`);
    },
  });
  const { user, system } = process.cpuUsage();
  const cpu = `${((user + system) / 1e6).toFixed(0)} s of CPU`;
  say(
    `${total.runs} plans in ${took()} (${cpu}): ${total.struck} incidents, ${total.failed} executions failed and were redriven`,
  );
  say(failure ?? 'no promise was broken');
  return failure === undefined ? 0 : 1;
}

process.env.POWERTOOLS_LOG_LEVEL = 'SILENT';
process.env.AWS_EC2_METADATA_DISABLED = 'true';
await runMain(main, { verbose: true });
