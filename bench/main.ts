import { cpus } from 'node:os';
import { parseCommand } from '../cli/args.ts';
import { UsageError } from '../cli/errors.ts';
import { runMain } from '../cli/run-main.ts';
import { createStopSignal, STOPPED } from '../cli/signals.ts';
import { printUsage } from '../cli/usage.ts';
import { BENCH } from './args.ts';
import { PROFILE_VARIABLE } from './flags.ts';
import { FLEET_SCENARIOS } from './fleet/scenarios.ts';
import { evaluate, formatResult } from './report.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';
import { createWorkspace } from './workspace.ts';

const ALL_SCENARIOS = [...SCENARIOS, ...FLEET_SCENARIOS];
const SEEDS = [1, 2, 3];

/** `fleet` stands for all scenarios of the fleet. */
const isNamed = ({ name }: Scenario, argument: string): boolean =>
  name === argument || (argument === 'fleet' && name.startsWith('fleet-'));

async function main(argv: readonly string[]): Promise<number> {
  const args = parseCommand(BENCH, argv, (parsed) => parsed);
  if (args === 'help') return printUsage(BENCH);
  const { values, positionals } = args;
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  if (values.list) {
    for (const { name, description, reference } of ALL_SCENARIOS)
      print(`${name.padEnd(18)} ${description}; against ${reference}`);
    return 0;
  }
  const unknown = positionals.filter(
    (argument) => !ALL_SCENARIOS.some((scenario) => isNamed(scenario, argument)),
  );
  if (unknown.length > 0) {
    throw new UsageError(
      `scenario ${unknown}: expected fleet, ${ALL_SCENARIOS.map(({ name }) => name).join(', ')}`,
    );
  }
  if (values.profile) process.env[PROFILE_VARIABLE] = values.profile;
  const selected = ALL_SCENARIOS.filter(
    (scenario) => positionals.length === 0 || positionals.some((argument) => isNamed(scenario, argument)),
  );
  const seeds = values.seed === undefined ? SEEDS : [values.seed];
  if (!values.json) print(`Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model}`);
  const workspace = await createWorkspace((text) => void process.stderr.write(`  … ${text}\n`));
  const stop = (): void => void workspace.close().finally(() => process.exit(STOPPED));
  createStopSignal().addEventListener('abort', stop);
  let missed = 0;
  try {
    for (const { name, reference, target, run } of selected) {
      const finding = await run(workspace, { seeds });
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
