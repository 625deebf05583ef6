import { XMLParser, XMLValidator } from 'fast-xml-parser';
import * as v from 'valibot';
import { S3Error } from './errors.ts';

export const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

type Scalar = string | number | boolean;
/** What an element holds: text, child elements by name (a list repeats its name), or nothing. `@name` is an attribute, `#text` the text beside it. */
export type XmlValue = Scalar | undefined | { readonly [name: string]: XmlValue | readonly XmlValue[] };

/** A whole document, as S3 answers it. */
export function document(root: string, content: XmlValue): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element(root, content)}`;
}

function element(name: string, value: XmlValue | readonly XmlValue[]): string {
  if (value === undefined) return '';
  if (isList(value)) return value.map((item) => element(name, item)).join('');
  if (typeof value !== 'object') return `<${name}>${escapeText(String(value))}</${name}>`;
  const { '#text': text, ...named } = value;
  const entries = Object.entries(named);
  const attributes = entries
    .filter(([key]) => key.startsWith('@'))
    .map(([key, content]) => ` ${key.slice(1)}="${escapeText(String(content))}"`);
  const children = entries.filter(([key]) => !key.startsWith('@')).map(([key, child]) => element(key, child));
  const content = text === undefined ? children.join('') : escapeText(String(text));
  return `<${name}${attributes.join('')}>${content}</${name}>`;
}

// Array.isArray does not narrow readonly arrays.
const isList = (value: XmlValue | readonly XmlValue[]): value is readonly XmlValue[] => Array.isArray(value);

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/**
 * Control characters become numeric references, as S3 writes them: a bare carriage return would be read back as a
 * line feed. XML 1.0 allows most of them not even so; `encoding-type=url` is the way out that S3 itself offers.
 */
const escapeText = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys may hold them
  text.replace(/[&<>"\u0000-\u001f\u007f]/g, (c) => ENTITIES[c] ?? `&#x${c.charCodeAt(0).toString(16)};`);

/** Elements that are a list even when there is one. */
const LISTS = new Set(['Part', 'Object', 'Tag', 'Grant']);

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  removeNSPrefix: true,
  // A key may begin or end with a space.
  trimValues: false,
  // The parser leaves numeric references alone, so all are resolved here.
  processEntities: false,
  isArray: (name) => LISTS.has(name),
  tagValueProcessor: (_name, text) => {
    const resolved = resolveReferences(text);
    if (!resolved.isWellFormed()) throw new S3Error('MalformedXML'); // half of a surrogate pair is no character
    return resolved;
  },
});

const REFERENCES = new Map(Object.entries({ amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }));

const resolveReferences = (text: string): string =>
  text.replace(/&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name) return REFERENCES.get(name) ?? whole;
    const point = hex ? Number.parseInt(hex, 16) : Number(decimal);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });

/** The content of `root` in a request's body, by its schema. */
export function readXml<const S extends v.GenericSchema>(
  text: string,
  root: string,
  schema: S,
): v.InferOutput<S> {
  const content = v.parse(v.record(v.string(), v.unknown()), parseXml(text))[root];
  const parsed = v.safeParse(schema, content);
  if (parsed.success) return parsed.output;
  throw new S3Error('MalformedXML', `<${root}>: ${v.summarize(parsed.issues).replaceAll('\n', '; ')}`);
}

/** The parser refuses, by errors of its own, names that JavaScript reserves and elements nested too deep. */
function parseXml(text: string): unknown {
  try {
    if (XMLValidator.validate(text) === true) return parser.parse(text);
  } catch (cause) {
    throw new S3Error('MalformedXML', undefined, { cause });
  }
  throw new S3Error('MalformedXML');
}
