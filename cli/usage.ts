import type { CommandDefinition, Option } from './args.ts';

const WIDTH = 80;

/** The usage text of a command, generated from its definition, at most 80 columns wide. */
export function usage({ name, summary, arguments: args, options, notes }: CommandDefinition): string {
  const entries = Object.entries(options);
  const optional = args.filter(({ isOptional }) => isOptional).map((argument) => argument.name);
  const synopsis = [
    `Usage: ${name} --`,
    ...args.filter(({ isOptional }) => !isOptional).map((argument) => argument.name),
    ...entries.flatMap(([option, of]) =>
      of.type !== 'boolean' && of.isRequired ? [optionSyntax(option, of)] : [],
    ),
    '[options]',
    ...(optional.length > 0 ? [`[${optional.join(' | ')}]...`] : []),
  ].join(' ');
  const rows: [string, string][] = [
    ...entries.map(([option, of]): [string, string] => [optionSyntax(option, of), describeOption(of)]),
    ['--help', 'Print this text'],
  ];
  const argumentRows = args.map(({ name, description }): [string, string] => [name, description]);
  const column = Math.max(...[...argumentRows, ...rows].map(([syntax]) => syntax.length)) + 4;
  return [
    wrap(synopsis, 2),
    wrap(summary),
    ...(args.length > 0 ? [table('Arguments', argumentRows, column)] : []),
    table('Options', rows, column),
    ...(notes ? [wrap(notes)] : []),
  ].join('\n\n');
}

/** Prints the usage text. @returns the exit code */
export function printUsage(command: CommandDefinition): number {
  process.stdout.write(`${usage(command)}\n`);
  return 0;
}

export const optionSyntax = (name: string, option: Option): string =>
  option.type === 'boolean' ? `--${name}` : `--${name} ${option.placeholder}`;

/** The default value, or the text that describes it. */
export const optionDefault = (option: Option): string | undefined =>
  option.type === 'boolean' ? undefined : (option.defaultText ?? option.default?.toString());

function describeOption(option: Option): string {
  const value = optionDefault(option);
  return value === undefined ? option.description : `${option.description} (default: ${value})`;
}

const table = (title: string, rows: readonly [string, string][], column: number): string =>
  [`${title}:`, ...rows.map(([left, text]) => `  ${left}`.padEnd(column) + wrap(text, column))].join('\n');

/** Breaks text at spaces. Lines after the first are indented. */
function wrap(text: string, indent = 0): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > WIDTH - indent) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}
