import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { killAndRestart } from './campaign.ts';
import { STAGES } from './stages.ts';

const USAGE = `Kills npm start at random moments and starts it again: all arrives, and nothing is sent that VOD held.

  npm run test:restart -- [--kills N] [--seed N]

  --kills N  how many (default: 50)
  --seed N   the plan of an earlier run (default: a new one, which is printed)
`;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    seed: { type: 'string', default: String(randomInt(2 ** 31)) },
    help: { type: 'boolean', default: false },
  },
});
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const [kills, seed] = [Number(values.kills), Number(values.seed)];
if (values.help || !Number.isSafeInteger(kills) || kills < 1 || !Number.isSafeInteger(seed)) {
  print(USAGE);
  process.exit(values.help ? 0 : 1);
}

print(`${kills} kills, seed ${seed}`);
const tally = new Map<string, number>(STAGES.map((stage) => [stage, 0]));
let count = 0;
await killAndRestart(kills, seed, ({ campaign, during, held }) => {
  tally.set(during, (tally.get(during) ?? 0) + 1);
  print(`kill ${++count}: run ${campaign + 1}, during ${during}, VOD held ${held} parts`);
});
print(
  `all arrived, nothing that was held was sent; killed during ${[...tally].map(([stage, n]) => `${stage} ${n}`).join(', ')}`,
);
