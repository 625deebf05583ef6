import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import { partition } from '@aws-sdk/core/client';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { Sha256 } from '@smithy/core/checksum';
import { HttpRequest } from '@smithy/core/protocols';
import { NodeHttpHandler, type NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { SignatureV4 } from '@smithy/signature-v4';
import * as v from 'valibot';

/**
 * Services of AWS of which one operation is needed, asked with the parts of the SDK that the S3 client brings along. A client of the
 * service's own would be a sixth of a bundle: docs/decisions/0008-bundles.md.
 * https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html, which differs from 1.1 in its content type
 */

export type AwsServiceDefinition = Readonly<{
  /** What requests are signed for, and the first word of the host: `dynamodb`. */
  name: string;
  /** The version of its interface: `DynamoDB_20120810`. */
  target: string;
  json: '1.0' | '1.1';
}>;

export type AwsEndpoint = Readonly<{
  region: string;
  /** In place of the region's own. */
  endpoint?: string | undefined;
}>;

/** What a service said instead of an answer. `name` is its type; `$metadata` is as in the SDK's errors. */
export class AwsServiceError extends Error {
  override readonly name: string;
  readonly $metadata: Readonly<{ httpStatusCode: number; requestId: string | undefined }>;

  constructor(type: string, message: string, $metadata: AwsServiceError['$metadata']) {
    super(message);
    this.name = type;
    this.$metadata = $metadata;
  }
}

const ErrorBody = v.object({
  __type: v.string(),
  message: v.optional(v.string()),
  Message: v.optional(v.string()),
});

/** One service at one place. It keeps connections alive; it repeats nothing. */
export class JsonClient {
  readonly #service: AwsServiceDefinition;
  readonly #url: URL;
  readonly #http: NodeHttpHandler;
  readonly #signer: SignatureV4;

  /** `times`: the SDK's own limits are none. */
  constructor(
    service: AwsServiceDefinition,
    { region, endpoint }: AwsEndpoint,
    times: NodeHttpHandlerOptions,
  ) {
    this.#service = service;
    this.#url = new URL(endpoint ?? `https://${service.name}.${region}.${partition(region).dnsSuffix}`);
    this.#http = new NodeHttpHandler(times);
    const credentials = defaultProvider();
    this.#signer = new SignatureV4({ service: service.name, region, credentials, sha256: Sha256 });
  }

  /**
   * @returns what the service answers, as yet unread
   * @throws {AwsServiceError} {Error} of the connection, the credentials, or the signal
   */
  async call(operation: string, input: unknown, signal: AbortSignal): Promise<unknown> {
    const { target, json } = this.#service;
    const { protocol, hostname, port, host } = this.#url;
    const request = new HttpRequest({
      method: 'POST',
      protocol,
      hostname,
      ...(port !== '' && { port: Number(port) }),
      path: '/',
      headers: {
        host,
        'content-type': `application/x-amz-json-${json}`,
        'x-amz-target': `${target}.${operation}`,
      },
      body: JSON.stringify(input),
    });
    const signed = new HttpRequest(await this.#signer.sign(request));
    const { response } = await this.#http.handle(signed, { abortSignal: signal });
    const { statusCode, headers, body } = response;
    const answer = parsed(await text(addAbortSignal(signal, body)));
    if (statusCode === 200 && answer !== undefined) return answer;
    const metadata = { httpStatusCode: statusCode, requestId: headers['x-amzn-requestid'] };
    const said = v.safeParse(ErrorBody, answer);
    if (!said.success) throw new AwsServiceError('UnexpectedReply', `HTTP ${statusCode}`, metadata);
    const { __type, message, Message } = said.output;
    const type = __type.slice(__type.indexOf('#') + 1); // `com.amazonaws.ssm#ParameterNotFound`
    throw new AwsServiceError(type, message ?? Message ?? `HTTP ${statusCode}`, metadata);
  }

  close(): void {
    this.#http.destroy();
  }
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // from something on the way, not from the service
  }
}
