import { cpus } from 'node:os';
import { parseCommand } from '../cli/args.ts';
import { UsageError } from '../cli/errors.ts';
import { runMain } from '../cli/run-main.ts';
import { createStopSignal, STOPPED } from '../cli/signals.ts';
import { printUsage } from '../cli/usage.ts';
import { BENCH } from './args.ts';
import { PROFILE_VARIABLE } from './flags.ts';
import { evaluate, formatResult } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { createWorkspace } from './workspace.ts';

async function main(argv: readonly string[]): Promise<number> {
  const args = parseCommand(BENCH, argv, (parsed) => parsed);
  if (args === 'help') return printUsage(BENCH);
  const { values, positionals } = args;
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  if (values.list) {
    for (const { name, description, reference } of SCENARIOS)
      print(`${name.padEnd(14)} ${description}; against ${reference}`);
    return 0;
  }
  const unknown = positionals.filter((name) => SCENARIOS.every((scenario) => scenario.name !== name));
  if (unknown.length > 0) {
    throw new UsageError(`scenario ${unknown}: expected ${SCENARIOS.map(({ name }) => name).join(', ')}`);
  }
  if (values.profile) process.env[PROFILE_VARIABLE] = values.profile;
  const selected = SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  if (!values.json) print(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model}`);
  const workspace = await createWorkspace((text) => void process.stderr.write(`  … ${text}\n`));
  const stop = (): void => void workspace.close().finally(() => process.exit(STOPPED));
  createStopSignal().addEventListener('abort', stop);
  let missed = 0;
  try {
    for (const { name, reference, target, run } of selected) {
      const finding = await run(workspace);
      const result = evaluate(name, target, finding);
      if (!result.ok) missed++;
      if (values.json) print(JSON.stringify(result));
      else for (const line of formatResult(result, target, reference, finding)) print(line);
    }
  } finally {
    await workspace.close();
  }
  return values.strict && missed > 0 ? 1 : 0;
}

await runMain(main, { verbose: true, errorCode: 2 });
