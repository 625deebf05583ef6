import { cpus } from 'node:os';
import { parseCommand } from '../cli/args.ts';
import { UsageError } from '../cli/errors.ts';
import { runMain } from '../cli/run-main.ts';
import { createStopSignal, STOPPED } from '../cli/signals.ts';
import { printUsage } from '../cli/usage.ts';
import { BENCH } from './args.ts';
import { PROFILE } from './flags.ts';
import { openLab } from './measure.ts';
import { judge, lines } from './report.ts';
import { SCENARIOS } from './scenarios.ts';

async function main(argv: readonly string[]): Promise<number> {
  const args = parseCommand(BENCH, argv, (parsed) => parsed);
  if (args === 'help') return printUsage(BENCH);
  const { values, positionals } = args;
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  if (values.list) {
    for (const { name, what, reference } of SCENARIOS)
      print(`${name.padEnd(14)} ${what}; against ${reference}`);
    return 0;
  }
  const unknown = positionals.filter((name) => SCENARIOS.every((scenario) => scenario.name !== name));
  if (unknown.length > 0) {
    throw new UsageError(`scenario ${unknown}: expected ${SCENARIOS.map(({ name }) => name).join(', ')}`);
  }
  if (values.profile) process.env[PROFILE] = values.profile;
  const chosen = SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  if (!values.json) print(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model}`);
  const lab = await openLab((text) => void process.stderr.write(`  … ${text}\n`));
  const stop = (): void => void lab.close().finally(() => process.exit(STOPPED));
  createStopSignal().addEventListener('abort', stop);
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

await runMain(main, { verbose: true, errorCode: 2 });
