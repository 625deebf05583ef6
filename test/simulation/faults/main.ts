import { availableParallelism } from 'node:os';
import { expectNone, formatError, parseInteger, readOptions } from '../../../cli/args.ts';
import { everyFault } from './plan.ts';
import { simulate } from './simulate.ts';

/** The long form of the simulation: each fault of each call by itself, then random plans. */

const USAGE = `npm run test:faults -- [--runs N] [--seed N]

  --runs N  plans to live through (default: 1000)
  --seed N  the same plans again (default: by chance, and told)`;

const LARGEST_SEED = 2 ** 31 - 1;

const OPTIONS = {
  runs: { type: 'string', default: '1000' },
  seed: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

async function main(): Promise<number> {
  const { values, positionals } = readOptions('npm run test:faults', process.argv.slice(2), OPTIONS);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (values.help) {
    say(USAGE);
    return 0;
  }
  expectNone(positionals);
  const runs = parseInteger('--runs', values.runs, 1, LARGEST_SEED);
  const seed =
    values.seed === undefined
      ? Date.now() % LARGEST_SEED
      : parseInteger('--seed', values.seed, 0, LARGEST_SEED);
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
main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`test:faults: ${formatError(error)}\n`);
    process.exitCode = 1;
  },
);
