import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import * as v from 'valibot';
import { listen } from '../../local/http-server.ts';

/** A parameter store with one operation, `GetParameter`, over HTTP (AWS JSON 1.1). */
export type ParameterStore = Readonly<{
  endpoint: string;
  set(name: string, value: string | undefined): void;
  /** Sets the value for the requests after the next one. */
  setNext(name: string, value: string): void;
  reject(name: string, status: number, type: string, message: string): void;
  respond(name: string, status: number, body: string): void;
  /** The names of the requests, in order. */
  requests(): string[];
  close(): Promise<void>;
}>;

const GetParameter = v.strictObject({ Name: v.string(), WithDecryption: v.literal(true) });

const SIGNED = /^AWS4-HMAC-SHA256 Credential=function\/\d{8}\/eu-central-1\/ssm\/aws4_request, /;

type StoredResponse = Readonly<{ status: number; body: string }>;

export async function startParameterStore(): Promise<ParameterStore> {
  const responses = new Map<string, StoredResponse[]>();
  const requests: string[] = [];
  const respond = (name: string, status: number, body: string) =>
    void responses.set(name, [{ status, body }]);
  const found = (Name: string, Value?: string) => JSON.stringify({ Parameter: { Name, Value } });
  const missing = { status: 400, body: JSON.stringify({ __type: 'com.amazonaws.ssm#ParameterNotFound' }) };
  const server = createServer(async (request, response) => {
    const { Name } = v.parse(GetParameter, await json(request));
    const { 'x-amz-target': target, authorization = '' } = request.headers;
    if (target !== 'AmazonSSM.GetParameter' || !SIGNED.test(authorization)) {
      response.writeHead(500).end(`expected a signed GetParameter, got ${target}, ${authorization}`);
      return;
    }
    requests.push(Name);
    const [first = missing, ...later] = responses.get(Name) ?? [];
    if (later.length > 0) responses.set(Name, later);
    response.writeHead(first.status, { 'content-type': 'application/x-amz-json-1.1' }).end(first.body);
  });
  const { endpoint, close } = await listen(server, 0);
  return {
    endpoint,
    respond,
    set: (name, value) => respond(name, 200, found(name, value)),
    setNext: (name, value) => void responses.get(name)?.push({ status: 200, body: found(name, value) }),
    reject: (name, status, type, message) =>
      respond(name, status, JSON.stringify({ __type: `com.amazonaws.ssm#${type}`, message })),
    requests: () => [...requests],
    close,
  };
}
