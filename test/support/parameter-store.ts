import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import * as v from 'valibot';
import { listen } from '../../local/http-server.ts';

/** A parameter store with one operation, `GetParameters`, over HTTP (AWS JSON 1.1). */
export type ParameterStore = Readonly<{
  endpoint: string;
  /** `undefined`: the response contains the parameter without a value. */
  set(name: string, value: string | undefined): void;
  remove(name: string): void;
  /** Sets the value for the requests after the next one. */
  setNext(name: string, value: string): void;
  /** Rejects requests that contain this name. */
  reject(name: string, status: number, type: string, message: string): void;
  respond(name: string, status: number, body: string): void;
  /** The names of each request, in order. */
  requests(): string[][];
  close(): Promise<void>;
}>;

/** https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html */
const GetParameters = v.strictObject({
  Names: v.pipe(
    v.array(v.string()),
    v.minLength(1),
    v.maxLength(10),
    v.check((names) => new Set(names).size === names.length, 'Expected distinct names'),
  ),
  WithDecryption: v.literal(true),
});

const SIGNED = /^AWS4-HMAC-SHA256 Credential=\w+\/\d{8}\/[a-z]+-[a-z]+-\d\/ssm\/aws4_request, /;

type Stored = Readonly<{ value: string | undefined } | { status: number; body: string }>;

export async function startParameterStore(): Promise<ParameterStore> {
  const responses = new Map<string, Stored[]>();
  const requests: string[][] = [];
  /** Returns the response to a name and moves on to its next one. */
  const take = (name: string): Stored | undefined => {
    const [first, ...later] = responses.get(name) ?? [];
    if (later.length > 0) responses.set(name, later);
    return first;
  };
  const server = createServer(async (request, response) => {
    const { Names } = v.parse(GetParameters, await json(request));
    const { 'x-amz-target': target, authorization = '' } = request.headers;
    if (target !== 'AmazonSSM.GetParameters' || !SIGNED.test(authorization)) {
      response.writeHead(500).end(`expected a signed GetParameters, got ${target}, ${authorization}`);
      return;
    }
    requests.push(Names);
    const found = Names.map((Name) => ({ Name, stored: take(Name) }));
    const failure = found.map(({ stored }) => stored).find((stored) => stored && 'status' in stored);
    const { status, body } =
      failure && 'status' in failure
        ? failure
        : {
            status: 200,
            body: JSON.stringify({
              Parameters: found.flatMap(({ Name, stored }) =>
                stored && 'value' in stored ? [{ Name, Value: stored.value }] : [],
              ),
              InvalidParameters: found.flatMap(({ Name, stored }) => (stored ? [] : [Name])),
            }),
          };
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(body);
  });
  const { endpoint, close } = await listen(server, 0);
  const respond = (name: string, status: number, body: string) =>
    void responses.set(name, [{ status, body }]);
  return {
    endpoint,
    respond,
    set: (name, value) => void responses.set(name, [{ value }]),
    remove: (name) => void responses.delete(name),
    setNext: (name, value) => void responses.get(name)?.push({ value }),
    reject: (name, status, type, message) =>
      respond(name, status, JSON.stringify({ __type: `com.amazonaws.ssm#${type}`, message })),
    requests: () => [...requests],
    close,
  };
}
