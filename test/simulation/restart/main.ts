import { randomInt } from 'node:crypto';
import { type CommandDefinition, integer, parseCommand } from '../../../cli/args.ts';
import { runMain } from '../../../cli/run-main.ts';
import { printUsage } from '../../../cli/usage.ts';
import { killAndRestart } from './campaign.ts';
import { STAGES } from './stages.ts';

const MAX_SEED = 2 ** 31 - 1;

const TEST_RESTART = {
  name: 'npm run test:restart',
  summary:
    'Kills npm start at random moments and restarts it. Every file must arrive, and no part that VOD has may be sent again.',
  arguments: [],
  options: {
    kills: integer('N', 'Number of kills', { min: 1, max: 1_000_000, default: 50 }),
    seed: integer('N', 'Repeat the plan of this seed', { min: 0, max: MAX_SEED, defaultText: 'random' }),
  },
} as const satisfies CommandDefinition;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(argv: readonly string[]): Promise<number> {
  const args = parseCommand(TEST_RESTART, argv, ({ values }) => values);
  if (args === 'help') return printUsage(TEST_RESTART);
  const { kills, seed = randomInt(MAX_SEED) } = args;
  print(`${kills} kills, seed ${seed}`);
  const counts = new Map<string, number>(STAGES.map((stage) => [stage, 0]));
  let count = 0;
  await killAndRestart(kills, seed, ({ campaign, stage, held }) => {
    counts.set(stage, (counts.get(stage) ?? 0) + 1);
    print(`kill ${++count}: campaign ${campaign}, during ${stage}, VOD has ${held} parts`);
  });
  const stages = [...counts].map(([stage, kills]) => `${stage} ${kills}`).join(', ');
  print(`all invariants hold; killed during ${stages}`);
  return 0;
}

await runMain(main, { verbose: true });
