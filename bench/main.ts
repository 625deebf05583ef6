import { cpus } from 'node:os';
import { formatError, readOptions, UsageError } from '../cli/args.ts';
import { PROFILE } from './flags.ts';
import { openLab } from './measure.ts';
import { judge, lines } from './report.ts';
import { SCENARIOS } from './scenarios.ts';

const USAGE = `Measures the chain against the numbers it is to reach.

  npm run bench -- [scenario …] [--json] [--list] [--strict] [--profile DIR]

  --json         one JSON line a scenario: {scenario, value, unit, reference, ratio, reach, ok}
  --list         names the scenarios
  --strict       exit code 1 when a number is not reached
  --profile DIR  a CPU profile of each measurement
`;

const OPTIONS = {
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  strict: { type: 'boolean', default: false },
  profile: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

async function main(): Promise<number> {
  const { values, positionals } = readOptions('npm run bench', process.argv.slice(2), OPTIONS);
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  if (values.help) {
    print(USAGE);
    return 0;
  }
  if (values.list) {
    for (const { name, what, reference } of SCENARIOS)
      print(`${name.padEnd(14)} ${what}; against ${reference}`);
    return 0;
  }
  const unknown = positionals.filter((name) => SCENARIOS.every((scenario) => scenario.name !== name));
  if (unknown.length > 0) {
    throw new UsageError(`no scenario ${unknown}: expected ${SCENARIOS.map(({ name }) => name).join(', ')}`);
  }
  if (values.profile) process.env[PROFILE] = values.profile;
  const chosen = SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  if (!values.json) print(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model}`);
  const lab = await openLab((text) => void process.stderr.write(`  … ${text}\n`));
  // Each time: npm and the terminal both pass on a Ctrl-C.
  const stop = (): void => void lab.close().finally(() => process.exit(130));
  process.on('SIGINT', stop).on('SIGTERM', stop);
  let missed = 0;
  try {
    for (const { name, reference, reach, run } of chosen) {
      const finding = await run(lab);
      const outcome = judge(name, reach, finding);
      if (!outcome.ok) missed++;
      if (values.json) print(JSON.stringify(outcome));
      else for (const line of lines(outcome, reach, reference, finding)) print(line);
    }
  } finally {
    await lab.close();
  }
  return values.strict && missed > 0 ? 1 : 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`bench: ${formatError(error)}\n`);
    process.exitCode = 2;
  },
);
