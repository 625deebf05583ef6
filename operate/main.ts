import { createStopSignal } from '../cli/signals.ts';
import { createTerminal } from '../cli/terminal.ts';
import { runCommand } from './commands.ts';

/** `npm run invoke`, `replay`, `redrive`, `backfill`, `doctor`, `enable-events` */

const terminal = createTerminal(process.stdout, process.stderr);
process.exitCode = await runCommand(process.argv.slice(2), terminal, createStopSignal());
terminal.close();
