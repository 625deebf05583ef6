import { type CommandDefinition, flag, integer, text } from '../cli/args.ts';

export const BENCH = {
  name: 'npm run bench',
  summary: 'Measures the pipeline and compares the results with their targets.',
  arguments: [
    {
      name: 'SCENARIO',
      description: 'Scenarios to run; --list prints them. fleet: all whose names begin with it',
      isOptional: true,
    },
  ],
  options: {
    json: flag('Print one JSON line per scenario: {scenario, value, unit, reference, ratio, reach, ok}'),
    list: flag('Print the names of the scenarios'),
    strict: flag('Exit with code 1 if a target is missed'),
    seed: integer('N', 'Simulate the fleet with this seed only', {
      min: 0,
      max: 2 ** 31,
      defaultText: 'three seeds, of which the worst result counts',
    }),
    profile: text('DIR', 'Write a CPU profile of each measurement to this folder'),
  },
} as const satisfies CommandDefinition;
