import fc from 'fast-check';

/** Values that doors stumble over. */

const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'then',
  'length',
];

export const nasty: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ maxLength: 40 }),
  fc.constantFrom(...NAMES),
  fc.constantFrom(
    '',
    ' ',
    '\0',
    '\ud800',
    '\udc00x',
    '\r\n',
    'a\r\nx-evil: 1',
    '\u202e',
    '\ufeff',
    '\u2028',
    '💥',
    'ﷺ'.repeat(30),
  ),
  fc.constantFrom(
    '../..',
    '../../../../etc/passwd',
    '..\\..',
    '/etc/passwd',
    '%2e%2e%2f',
    '%00',
    '%',
    '%ff',
    '%ZZ',
    '//',
    '.',
    'file:///etc/passwd',
  ),
  fc.constantFrom(
    'null',
    'undefined',
    'NaN',
    '-0',
    '1e999',
    '0x10',
    '１２',
    '9007199254740993',
    '-1',
    'true',
    '[]',
    '{}',
    '"',
  ),
  fc.constantFrom('$(id)', '=?UTF-8?B?8J+SpQ==?=', '=?utf-8?q?=FF=00?=', '<x>', '&amp;', '?a=b&c', '#'),
  fc.string({ maxLength: 3 }).chain((text) => fc.nat(5_000).map((times) => text.repeat(times))),
);

const scalar: fc.Arbitrary<unknown> = fc.oneof(
  nasty,
  fc.double(),
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constantFrom(null, Number.MAX_VALUE, 2 ** 53, 2 ** 32, -1, 0.5),
);

/** JSON, as text would bring it: names may be `__proto__`. */
const shallow: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown; object: unknown; list: unknown }>(
  (tie) => ({
    value: fc.oneof({ maxDepth: 4, withCrossShrink: true }, scalar, tie('object'), tie('list')),
    object: fc.array(fc.tuple(nasty, tie('value')), { maxLength: 5 }).map(Object.fromEntries),
    list: fc.array(tie('value'), { maxLength: 5 }),
  }),
).value;

/** Deeper than it can be written out again. */
const deep = fc
  .constantFrom(['[', ']'] as const, ['{"a":', '}'] as const)
  .map(([open, close]) => `${open.repeat(20_000)}${open === '[' ? '' : '1'}${close.repeat(20_000)}`);

export const jsonText: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: shallow.map((value) => JSON.stringify(value)), weight: 20 },
  { arbitrary: deep, weight: 1 },
);

export const json: fc.Arbitrary<unknown> = jsonText.map((text) => JSON.parse(text));

type Edit = Readonly<{
  at: number;
  how: 'replace' | 'delete' | 'rename' | 'add' | 'repeat' | 'within';
  name: string;
  value: unknown;
}>;

const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    at: fc.nat(),
    how: fc.constantFrom('replace', 'replace', 'delete', 'rename', 'add', 'repeat', 'within', 'within'),
    name: nasty,
    value: shallow,
  }),
  { minLength: 1, maxLength: 4 },
);

/** One of `examples`, and with some of its values replaced, left out, renamed, added to, and repeated; also in JSON within strings. */
export const mutated = (examples: readonly unknown[]): fc.Arbitrary<unknown> =>
  fc
    .tuple(fc.constantFrom(...examples), edits)
    .map(([example, all]) => all.reduce<unknown>(edited, structuredClone(example)));

type Holder = Record<string, unknown>;

function edited(root: unknown, { at, how, name, ...edit }: Edit): unknown {
  // A later edit may change this value, and fast-check uses the original again.
  const value: unknown = structuredClone(edit.value);
  const places = placesIn(root);
  const place = places[at % Math.max(1, places.length)];
  if (!place) return value;
  const { holder, key } = place;
  const held = holder[key];
  switch (how) {
    case 'replace':
      set(holder, key, value);
      break;
    case 'delete':
      drop(holder, key);
      break;
    case 'rename':
      drop(holder, key);
      set(holder, name, held);
      break;
    case 'add':
      set(holder, name, value);
      break;
    case 'repeat':
      if (Array.isArray(holder)) holder.push(structuredClone(held));
      else set(holder, key, [held, structuredClone(held)]);
      break;
    case 'within':
      set(
        holder,
        key,
        typeof held === 'string' ? editedText(held, { at: at >>> 4, how: 'replace', name, value }) : held,
      );
      break;
  }
  return root;
}

function editedText(text: string, edit: Edit): string {
  try {
    const inner: unknown = JSON.parse(text);
    if (typeof inner === 'object' && inner !== null) return JSON.stringify(edited(inner, edit));
  } catch {}
  const cut = edit.at % (text.length + 1);
  return text.slice(0, cut) + edit.name + text.slice(cut + (edit.at % 3));
}

function placesIn(value: unknown): { holder: Holder; key: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Holder;
  return Object.keys(holder).flatMap((key) => [
    { holder, key },
    ...(depthOf(holder[key]) < 50 ? placesIn(holder[key]) : []),
  ]);
}

function depthOf(value: unknown): number {
  let depth = 0;
  for (let at = value; typeof at === 'object' && at !== null && depth < 50; depth++)
    at = Object.values(at)[0];
  return depth;
}

function drop(holder: Holder, key: string): void {
  if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
}

/** As `JSON.parse` does it: `__proto__` is a name like any other. */
const set = (holder: Holder, key: string, value: unknown): void => {
  if (Array.isArray(holder) && (key === 'length' || !Object.hasOwn(holder, key))) holder.push(value);
  else Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
};

/** A text with some of its characters cut out, put in, doubled, or flipped. */
export const spoilt = (texts: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(texts, fc.array(fc.tuple(fc.nat(), fc.nat(8), fc.oneof(fc.constant(''), nasty)), { maxLength: 4 }))
    .map(([text, cuts]) =>
      cuts.reduce((now, [at, length, put]) => {
        const from = at % (now.length + 1);
        return now.slice(0, from) + put + now.slice(from + length);
      }, text),
    );
