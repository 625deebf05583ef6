import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { type CommandDefinition, integer, parseCommand } from '../../../cli/args.ts';
import { runMain } from '../../../cli/run-main.ts';
import { printUsage } from '../../../cli/usage.ts';
import { everyFault } from './plan.ts';
import { simulate } from './simulate.ts';

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
  const { runs, seed = randomInt(MAX_SEED) } = args;
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const start = performance.now();
  const elapsed = (): string => `${((performance.now() - start) / 1000).toFixed(0)} s`;
  print(`${runs} plans, seed ${seed}, ${availableParallelism()} cores`);
  const { failure, ...total } = await simulate({
    runs,
    seed,
    first: everyFault,
    onRun: (done) => {
      if (done % 100 === 0) print(`${done} in ${elapsed()}`);
    },
  });
  const { user, system } = process.cpuUsage();
  const cpu = `${((user + system) / 1e6).toFixed(0)} s of CPU`;
  print(
    `${total.runs} plans in ${elapsed()} (${cpu}): ${total.incidents} incidents, ${total.failed} executions failed and were redriven`,
  );
  print(failure ?? 'all invariants hold');
  return failure === undefined ? 0 : 1;
}

process.env.POWERTOOLS_LOG_LEVEL = 'SILENT';
process.env.AWS_EC2_METADATA_DISABLED = 'true';
await runMain(main, { verbose: true });
