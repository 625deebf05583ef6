import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import * as v from 'valibot';
import { listen } from '../../local/http-server.ts';

/** The one call of AWS's parameter store that the functions make, over HTTP (AWS JSON 1.1). */

export type ParameterStore = Readonly<{
  endpoint: string;
  holds(name: string, value: string | undefined): void;
  /** After the next answer. */
  thenHolds(name: string, value: string): void;
  refuses(name: string, status: number, type: string, message: string): void;
  says(name: string, status: number, body: string): void;
  /** The names asked for, in order. */
  asked(): string[];
  close(): Promise<void>;
}>;

const GetParameter = v.strictObject({ Name: v.string(), WithDecryption: v.literal(true) });

const SIGNED = /^AWS4-HMAC-SHA256 Credential=function\/\d{8}\/eu-central-1\/ssm\/aws4_request, /;

type Answer = Readonly<{ status: number; body: string }>;

export async function startParameterStore(): Promise<ParameterStore> {
  const answers = new Map<string, Answer[]>();
  const asked: string[] = [];
  const says = (name: string, status: number, body: string) => void answers.set(name, [{ status, body }]);
  const held = (Name: string, Value?: string) => JSON.stringify({ Parameter: { Name, Value } });
  const missing = { status: 400, body: JSON.stringify({ __type: 'com.amazonaws.ssm#ParameterNotFound' }) };
  const server = createServer(async (request, response) => {
    const { Name } = v.parse(GetParameter, await json(request));
    const { 'x-amz-target': target, authorization = '' } = request.headers;
    if (target !== 'AmazonSSM.GetParameter' || !SIGNED.test(authorization)) {
      response.writeHead(500).end(`${target}, ${authorization}: not what the store takes`);
      return;
    }
    asked.push(Name);
    const [answer = missing, ...later] = answers.get(Name) ?? [];
    if (later.length > 0) answers.set(Name, later);
    const { status, body } = answer;
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(body);
  });
  const { endpoint, close } = await listen(server, 0);
  return {
    endpoint,
    says,
    holds: (name, value) => says(name, 200, held(name, value)),
    thenHolds: (name, value) => void answers.get(name)?.push({ status: 200, body: held(name, value) }),
    refuses: (name, status, type, message) =>
      says(name, status, JSON.stringify({ __type: `com.amazonaws.ssm#${type}`, message })),
    asked: () => [...asked],
    close,
  };
}
