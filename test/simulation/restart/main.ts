import { randomInt } from 'node:crypto';
import { expectNone, formatError, parseInteger, readOptions } from '../../../cli/args.ts';
import { killAndRestart } from './campaign.ts';
import { STAGES } from './stages.ts';

const USAGE = `Kills npm start at random moments and starts it again: all arrives, and nothing is sent that VOD held.

  npm run test:restart -- [--kills N] [--seed N]

  --kills N  how many (default: 50)
  --seed N   the plan of an earlier run (default: a new one, which is printed)
`;

const LARGEST_SEED = 2 ** 31 - 1;
const OPTIONS = {
  kills: { type: 'string', default: '50' },
  seed: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const { values, positionals } = readOptions('npm run test:restart', process.argv.slice(2), OPTIONS);
  if (values.help) return print(USAGE);
  expectNone(positionals);
  const kills = parseInteger('--kills', values.kills, 1, 1_000_000);
  const seed =
    values.seed === undefined
      ? randomInt(LARGEST_SEED)
      : parseInteger('--seed', values.seed, 0, LARGEST_SEED);
  print(`${kills} kills, seed ${seed}`);
  const tally = new Map<string, number>(STAGES.map((stage) => [stage, 0]));
  let count = 0;
  await killAndRestart(kills, seed, ({ campaign, during, held }) => {
    tally.set(during, (tally.get(during) ?? 0) + 1);
    print(`kill ${++count}: run ${campaign + 1}, during ${during}, VOD held ${held} parts`);
  });
  const stages = [...tally].map(([stage, kills]) => `${stage} ${kills}`).join(', ');
  print(`all arrived, nothing that was held was sent; killed during ${stages}`);
}

main().catch((error: unknown) => {
  process.stderr.write(`test:restart: ${formatError(error)}\n`);
  process.exitCode = 1;
});
