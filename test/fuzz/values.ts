import fc from 'fast-check';

/** The words of a text. A list of many short strings reads better as one. */
export const words = (text: string): string[] => text.trim().split(/\s+/);

const NAMES = words(`
  __proto__ constructor prototype toString hasOwnProperty valueOf then length
`);

/** Text that code at a boundary may mishandle. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
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
  hostileText,
  fc.double(),
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constantFrom(null, Number.MAX_VALUE, 2 ** 53, 2 ** 32, -1, 0.5),
);

/** Values as `JSON.parse` returns them: a name may be `__proto__`. */
const shallowValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown; object: unknown; list: unknown }>(
  (tie) => ({
    value: fc.oneof({ maxDepth: 4, withCrossShrink: true }, scalar, tie('object'), tie('list')),
    object: fc.array(fc.tuple(hostileText, tie('value')), { maxLength: 5 }).map(Object.fromEntries),
    list: fc.array(tie('value'), { maxLength: 5 }),
  }),
).value;

/** JSON that is nested too deeply for `JSON.stringify`. */
const deepText = fc
  .constantFrom(['[', ']'] as const, ['{"a":', '}'] as const)
  .map(([open, close]) => `${open.repeat(20_000)}${open === '[' ? '' : '1'}${close.repeat(20_000)}`);

export const jsonText: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: shallowValue.map((value) => JSON.stringify(value)), weight: 20 },
  { arbitrary: deepText, weight: 1 },
);

export const jsonValue: fc.Arbitrary<unknown> = jsonText.map((text) => JSON.parse(text));

type Edit = Readonly<{
  at: number;
  kind: 'replace' | 'delete' | 'rename' | 'add' | 'repeat' | 'within';
  name: string;
  value: unknown;
}>;

const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    at: fc.nat(),
    kind: fc.constantFrom('replace', 'replace', 'delete', 'rename', 'add', 'repeat', 'within', 'within'),
    name: hostileText,
    value: shallowValue,
  }),
  { minLength: 1, maxLength: 4 },
);

/**
 * One of `examples` with some of its values replaced, deleted, renamed, added, or repeated; also in JSON inside strings (`within`).
 */
export const mutate = (examples: readonly unknown[]): fc.Arbitrary<unknown> =>
  fc
    .tuple(fc.constantFrom(...examples), edits)
    .map(([example, all]) => all.reduce<unknown>(applyEdit, structuredClone(example)));

type Holder = Record<string, unknown>;

function applyEdit(root: unknown, { at, kind, name, ...edit }: Edit): unknown {
  // A later edit may change this value, and fast-check uses the original again.
  const value: unknown = structuredClone(edit.value);
  const places = listPlaces(root);
  const place = places[at % Math.max(1, places.length)];
  if (!place) return value;
  const { holder, key } = place;
  const current = holder[key];
  switch (kind) {
    case 'replace':
      setEntry(holder, key, value);
      break;
    case 'delete':
      deleteEntry(holder, key);
      break;
    case 'rename':
      deleteEntry(holder, key);
      setEntry(holder, name, current);
      break;
    case 'add':
      setEntry(holder, name, value);
      break;
    case 'repeat':
      if (Array.isArray(holder)) holder.push(structuredClone(current));
      else setEntry(holder, key, [current, structuredClone(current)]);
      break;
    case 'within':
      if (typeof current === 'string')
        setEntry(holder, key, editText(current, { at: at >>> 4, kind: 'replace', name, value }));
      break;
  }
  return root;
}

function editText(text: string, edit: Edit): string {
  try {
    const inner: unknown = JSON.parse(text);
    if (typeof inner === 'object' && inner !== null) return JSON.stringify(applyEdit(inner, edit));
  } catch {}
  const cut = edit.at % (text.length + 1);
  return text.slice(0, cut) + edit.name + text.slice(cut + (edit.at % 3));
}

const MAX_DEPTH = 50;

function listPlaces(value: unknown): { holder: Holder; key: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as Holder;
  return Object.keys(holder).flatMap((key) => [
    { holder, key },
    ...(measureDepth(holder[key]) < MAX_DEPTH ? listPlaces(holder[key]) : []),
  ]);
}

function measureDepth(value: unknown): number {
  let depth = 0;
  for (let at = value; typeof at === 'object' && at !== null && depth < MAX_DEPTH; depth++)
    at = Object.values(at)[0];
  return depth;
}

function deleteEntry(holder: Holder, key: string): void {
  if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
}

/** Like `JSON.parse`: `__proto__` is an ordinary name, and an array has only elements. */
function setEntry(holder: Holder, key: string, value: unknown): void {
  if (Array.isArray(holder) && (key === 'length' || !Object.hasOwn(holder, key))) holder.push(value);
  else Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Text of which some characters are removed, inserted, or replaced. */
export const corrupt = (texts: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      texts,
      fc.array(fc.tuple(fc.nat(), fc.nat(8), fc.oneof(fc.constant(''), hostileText)), { maxLength: 4 }),
    )
    .map(([text, cuts]) =>
      cuts.reduce((current, [at, length, inserted]) => {
        const from = at % (current.length + 1);
        return current.slice(0, from) + inserted + current.slice(from + length);
      }, text),
    );
