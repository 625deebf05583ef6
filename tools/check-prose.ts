import { globSync, readFileSync } from 'node:fs';
import jsTokens from 'js-tokens';
import * as v from 'valibot';
import { parse } from 'yaml';

/**
 * Checks comments, messages, Markdown, and YAML against the language rules in CONTRIBUTING.md.
 * Usage: node tools/check-prose.ts [FILE | FOLDER]…
 */

/** The longest sentence in comments and documents, in words. */
const MAX_WORDS = 30;

const RULES = v
  .parse(
    v.array(v.object({ pattern: v.string(), advice: v.string() })),
    parse(readFileSync(new URL('prose-rules.yaml', import.meta.url), 'utf8')),
  )
  .map(({ pattern, advice }) => ({ pattern: new RegExp(pattern, 'iu'), advice }));

/** A piece of prose. `offset`: where it begins in its file. `isMessage`: a string, which may be cut anywhere. */
type Prose = Readonly<{ text: string; offset: number; isMessage?: boolean }>;

/** Blanks out what is not prose, without moving the rest. */
const blank = (text: string, pattern: RegExp): string =>
  text.replace(pattern, (match) => match.replace(/[^\n]/g, ' '));

function* proseOfTypeScript(source: string): Generator<Prose> {
  let offset = 0;
  let comment: { text: string; offset: number } | undefined;
  for (const { type, value } of jsTokens(source)) {
    if (type === 'SingleLineComment') {
      const text = value.replace(/^\/\/+/, (slashes) => ' '.repeat(slashes.length));
      comment = { text: comment ? comment.text + text : text, offset: comment?.offset ?? offset };
    } else if (comment && /WhiteSpace|LineTerminatorSequence/.test(type)) {
      comment.text += value;
    } else {
      if (comment) yield comment;
      comment = undefined;
      if (type === 'MultiLineComment') yield { text: blank(value, /^\/\*+|\*+\/$|^\s*\*/gm), offset };
      else if (/StringLiteral|Template/.test(type) && /[a-z],? [a-z]+ [a-z]/i.test(value))
        yield { text: blank(value, /^['"`}]|['"`]$|\$\{$/g), offset, isMessage: true };
    }
    offset += value.length;
  }
  if (comment) yield comment;
}

function* proseOfMarkdown(source: string): Generator<Prose> {
  yield { text: blank(source, /^ *```[\s\S]*?^ *```$/gm), offset: 0 };
}

function* proseOfYaml(source: string): Generator<Prose> {
  for (const { 0: block, index } of source.matchAll(/(^[ \t]*#.*\n?)+/gm))
    yield { text: blank(block, /^[ \t]*#/gm), offset: index };
  for (const { 0: text, index } of source.matchAll(/(?<=\b(Description|Comment|description): ).+$/gm))
    yield { text, offset: index };
}

const EXTRACTORS: Readonly<Record<string, (source: string) => Generator<Prose>>> = {
  ts: proseOfTypeScript,
  md: proseOfMarkdown,
  yml: proseOfYaml,
  yaml: proseOfYaml,
};

const SENTENCE_END = /(?<=[.!?;:])\s+|\n\s*\n|\n\s*(?=[-*#@|]|\d+\. )|\|/;

function* sentencesOf({ text, offset, isMessage }: Prose): Generator<{ text: string; offset: number }> {
  const plain = text
    .replace(/`[^`\n]*`/g, (code) => `C${'_'.repeat(code.length - 1)}`)
    .replace(/\]\([^)\n]*\)|https?:\/\/\S+|\{@?\w+\}/g, (link) => '_'.repeat(link.length));
  let at = 0;
  for (const part of isMessage ? [plain] : plain.split(SENTENCE_END)) {
    at = plain.indexOf(part, at);
    const lead = /^[\s*#>_(-]*/.exec(part)?.[0].length ?? 0;
    yield { text: part.slice(lead).replace(/\s+/g, ' ').trimEnd(), offset: offset + at + lead };
    at += part.length;
  }
}

function problemsIn(path: string): string[] {
  const source = readFileSync(path, 'utf8');
  const extract = EXTRACTORS[path.slice(path.lastIndexOf('.') + 1)];
  const problems: string[] = [];
  for (const prose of extract?.(source) ?? []) {
    for (const { text, offset } of sentencesOf(prose)) {
      const at = `${path}:${source.slice(0, offset).split('\n').length}`;
      for (const { pattern, advice } of RULES) {
        const match = pattern.exec(text);
        if (match) problems.push(`${at}: "${match[0]}" in "${text.slice(0, 60)}": ${advice}.`);
      }
      const words = text.split(' ').filter((word) => /[a-z]/i.test(word)).length;
      if (!prose.isMessage && words > MAX_WORDS)
        problems.push(`${at}: ${words} words in "${text.slice(0, 60)}…": split the sentence (${MAX_WORDS}).`);
    }
  }
  return problems;
}

const folders = process.argv.slice(2);
const isChecked = (path: string): boolean =>
  path !== 'tools/prose-rules.yaml' &&
  (folders.length === 0 || folders.some((folder) => path.startsWith(folder)));
const exclude = (path: string): boolean => /(^|\/)(node_modules$|\.)/.test(path);
const files = globSync('**/*.{ts,md,yml,yaml}', { exclude }).filter(isChecked).sort();
const problems = files.flatMap(problemsIn);
process.stdout.write([...problems, `${files.length} files, ${problems.length} problems`, ''].join('\n'));
process.exitCode = problems.length > 0 ? 1 : 0;
