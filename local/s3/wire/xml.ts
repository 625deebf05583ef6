import { XMLParser, XMLValidator } from 'fast-xml-parser';
import * as v from 'valibot';
import { S3Error } from './errors.ts';

export const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

type Scalar = string | number | boolean;
/** The content of an element: text, child elements by name (a list repeats its name), or nothing. `@name` is an attribute, `#text` is text. */
export type XmlValue = Scalar | undefined | XmlElements;
export type XmlElements = { readonly [name: string]: XmlValue | readonly XmlValue[] };

/** Writes an XML document. */
export function writeXml(root: string, content: XmlValue): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${writeElement(root, content)}`;
}

function writeElement(name: string, value: XmlValue | readonly XmlValue[]): string {
  if (value === undefined) return '';
  if (isList(value)) return value.map((item) => writeElement(name, item)).join('');
  if (typeof value !== 'object') return `<${name}>${escapeText(String(value))}</${name}>`;
  const { '#text': text, ...named } = value;
  const entries = Object.entries(named);
  const attributes = entries
    .filter(([key]) => key.startsWith('@'))
    .map(([key, content]) => ` ${key.slice(1)}="${escapeText(String(content))}"`);
  const children = entries
    .filter(([key]) => !key.startsWith('@'))
    .map(([key, child]) => writeElement(key, child));
  const content = text === undefined ? children.join('') : escapeText(String(text));
  return `<${name}${attributes.join('')}>${content}</${name}>`;
}

// `Array.isArray` does not narrow readonly arrays.
const isList = (value: XmlValue | readonly XmlValue[]): value is readonly XmlValue[] => Array.isArray(value);

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/**
 * Writes control characters as numeric references, as S3 does: a parser would turn a bare carriage return into a line
 * feed. XML 1.0 forbids most of them even as references; for those, S3 offers `encoding-type=url`.
 */
const escapeText = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys may contain them
  text.replace(/[&<>"\u0000-\u001f\u007f]/g, (c) => ENTITIES[c] ?? `&#x${c.charCodeAt(0).toString(16)};`);

/** Elements that are a list even if there is only one. */
const LISTS = new Set(['Part', 'Object', 'Tag', 'Grant']);

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  removeNSPrefix: true,
  // A key may start or end with a space.
  trimValues: false,
  // The parser does not resolve numeric references, so `resolveReferences` resolves all of them.
  processEntities: false,
  isArray: (name) => LISTS.has(name),
  tagValueProcessor: (_name, text) => {
    const resolved = resolveReferences(text);
    if (!resolved.isWellFormed()) throw new S3Error('MalformedXML'); // half of a surrogate pair
    return resolved;
  },
});

const REFERENCES = new Map(Object.entries({ amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }));

const resolveReferences = (text: string): string =>
  text.replace(/&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|(\w+));/gi, (reference, hex, decimal, name) => {
    if (name) return REFERENCES.get(name) ?? reference;
    const point = hex ? Number.parseInt(hex, 16) : Number(decimal);
    return point <= 0x10ffff ? String.fromCodePoint(point) : reference;
  });

/** Reads the element `root` of a request body. @throws {S3Error} `MalformedXML` */
export function readXml<const S extends v.GenericSchema>(
  text: string,
  root: string,
  schema: S,
): v.InferOutput<S> {
  const content = removeNamespace(v.parse(v.record(v.string(), v.unknown()), parseXml(text))[root]);
  const parsed = v.safeParse(schema, content);
  if (parsed.success) return parsed.output;
  const unknown = findUnknownElement(parsed.issues);
  if (unknown) {
    throw new S3Error('NotImplemented', `The element ${v.getDotPath(unknown)} of <${root}> is not supported`);
  }
  throw new S3Error('MalformedXML', `<${root}>: ${v.summarize(parsed.issues).replaceAll('\n', '; ')}`);
}

type Issues = readonly v.BaseIssue<unknown>[];

const findUnknownElement = (issues: Issues): v.BaseIssue<unknown> | undefined =>
  issues
    .flatMap((issue): Issues => [issue, ...(issue.issues ?? [])])
    .find(({ type, expected }) => type === 'strict_object' && expected === 'never');

/** Removes the attribute `xmlns`. An element with no other content is empty text, as without the attribute. */
function removeNamespace(content: unknown): unknown {
  if (typeof content !== 'object' || content === null) return content;
  const rest = Object.entries(content).filter(([name]) => name !== '@xmlns');
  return rest.length > 0 ? Object.fromEntries(rest) : '';
}

/** The parser throws its own errors for reserved JavaScript names and for elements nested too deep. */
function parseXml(text: string): unknown {
  try {
    if (XMLValidator.validate(text) === true) return parser.parse(text);
  } catch (cause) {
    throw new S3Error('MalformedXML', { cause });
  }
  throw new S3Error('MalformedXML');
}
