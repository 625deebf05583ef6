/** The subset of JSONPath and of payload templates that the state machine uses. Anything else is an error. */

/** The document of `$` and the context object of `$$`. */
export type Documents = Readonly<{ data: unknown; context: unknown }>;

type Reader = (documents: Documents) => unknown;

/** `$`, `$.a.b`, and the same of the context object, such as `$$.Execution.Name`. */
const PATH = /^(\$\$?)((?:\.[A-Za-z_]\w*)*)$/;

/** @throws when the state machine uses a path that this interpreter does not know */
export function compilePath(path: string): Reader {
  const [, root, fields = ''] = PATH.exec(path) ?? [];
  if (!root) throw new Error(`state machine path ${path}: expected $ or $$ and names of fields.`);
  const names = fields.split('.').slice(1);
  return ({ data, context }) =>
    names.reduce<unknown>((value, name) => fieldOf(value, name), root === '$' ? data : context);
}

/** Reads a path that must exist. @throws {StateError} as Step Functions does */
export function compileRequiredPath(path: string): Reader {
  const read = compilePath(path);
  return (documents) => {
    const value = read(documents);
    if (value === undefined) throw new StateError('States.Runtime', `The path ${path} is missing.`);
    return value;
  };
}

/** Compiles a payload template: fields whose names end in `.$` hold paths. */
export function compileTemplate(template: unknown): Reader {
  if (Array.isArray(template)) {
    const items = template.map(compileTemplate);
    return (documents) => items.map((item) => item(documents));
  }
  if (typeof template !== 'object' || template === null) return () => template;
  const fields = Object.entries(template).map(([name, value]): [string, Reader] =>
    name.endsWith('.$')
      ? [name.slice(0, -2), compileRequiredPath(String(value))]
      : [name, compileTemplate(value)],
  );
  return (documents) => Object.fromEntries(fields.map(([name, read]) => [name, read(documents)]));
}

/** Compiles a ResultPath: `$` or one field. Returns the input with the result in it. */
export function compileResultPath(path: string): (input: unknown, result: unknown) => unknown {
  if (path === '$') return (_, result) => result;
  const [, field] = /^\$\.([A-Za-z_]\w*)$/.exec(path) ?? [];
  if (!field) throw new Error(`state machine ResultPath ${path}: expected $ or one field.`);
  return (input, result) => ({ ...asObject(input), [field]: result });
}

/** An error of the state machine. `name` is what retriers and catchers match. */
export class StateError extends Error {
  override readonly name: string;
  constructor(name: string, cause: string) {
    super(cause);
    this.name = name;
  }
}

const asObject = (value: unknown): object => (typeof value === 'object' && value !== null ? value : {});

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
