import { text } from 'node:stream/consumers';
import { partition } from '@aws-sdk/core/client';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { Sha256 } from '@smithy/core/checksum';
import { HttpRequest } from '@smithy/core/protocols';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { SignatureV4 } from '@smithy/signature-v4';
import pRetry from 'p-retry';
import * as v from 'valibot';

/**
 * The parameter store, of which one call is needed, and that is sent with the parts of the SDK that the other clients
 * bring along. The SDK's client for all of Systems Manager is a sixth of a bundle: docs/decisions/0008-bundles.md.
 * https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
 */

export type Store = Readonly<{
  region: string;
  /** In place of the region's own. */
  endpoint?: string | undefined;
}>;

/** A changed parameter is seen after at most this long. */
const KEPT_MS = 300_000;

/** Milliseconds to connect, and to an answer. */
const TIMES = { connectionTimeout: 3_000, requestTimeout: 5_000, throwOnRequestTimeout: true };
const REPEATS = { retries: 2, minTimeout: 200, randomize: true };

/** The store's refusals where another try would go the same way. */
const FINAL = new Set(['ParameterNotFound', 'AccessDeniedException', 'InvalidKeyId', 'ValidationException']);

/** What the store said instead of a value. `isFinal`: it would again. */
export class ParameterFault extends Error {
  override readonly name: string;

  constructor(type: string, message: string) {
    super(message);
    this.name = type;
  }

  get isFinal(): boolean {
    return FINAL.has(this.name);
  }
}

const kept = new Map<string, { value: Promise<string | undefined>; until: number }>();

/**
 * The decrypted value of a parameter, at most five minutes old.
 * @throws {ParameterFault} {Error} of the connection or the credentials
 */
export function readParameter(name: string, store: Store): Promise<string | undefined> {
  const known = kept.get(name);
  if (known && Date.now() < known.until) return known.value;
  const value = pRetry(() => getParameter(name, store), {
    ...REPEATS,
    shouldRetry: ({ error }) => !(error instanceof ParameterFault && error.isFinal),
  });
  kept.set(name, { value, until: Date.now() + KEPT_MS });
  value.catch(() => kept.delete(name)); // the next to ask asks again
  return value;
}

const http = new NodeHttpHandler(TIMES);

const Answer = v.object({ Parameter: v.object({ Value: v.optional(v.string()) }) });
const Refusal = v.object({
  __type: v.string(),
  message: v.optional(v.string()),
  Message: v.optional(v.string()),
});

async function getParameter(name: string, { region, endpoint }: Store): Promise<string | undefined> {
  const { protocol, hostname, port, host } = new URL(
    endpoint ?? `https://ssm.${region}.${partition(region).dnsSuffix}`,
  );
  const request = new HttpRequest({
    method: 'POST',
    protocol,
    hostname,
    ...(port !== '' && { port: Number(port) }),
    path: '/',
    headers: {
      host,
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AmazonSSM.GetParameter',
    },
    body: JSON.stringify({ Name: name, WithDecryption: true }),
  });
  const credentials = defaultProvider();
  const signer = new SignatureV4({ service: 'ssm', region, credentials, sha256: Sha256 });
  const signed = await signer.sign(request);
  const { response } = await http.handle(new HttpRequest(signed));
  const said = parsed(await text(response.body));
  const answer = v.safeParse(Answer, said);
  if (response.statusCode === 200 && answer.success) return answer.output.Parameter.Value;
  const refusal = v.safeParse(Refusal, said);
  if (!refusal.success) throw new ParameterFault('UnexpectedReply', `HTTP ${response.statusCode}`);
  const { __type, message, Message } = refusal.output;
  const type = __type.slice(__type.indexOf('#') + 1); // `com.amazonaws.ssm#ParameterNotFound`
  throw new ParameterFault(type, message ?? Message ?? `HTTP ${response.statusCode}`);
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // from something on the way, not from the store
  }
}
