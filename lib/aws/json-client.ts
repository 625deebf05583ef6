import { addAbortSignal } from 'node:stream';
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
 * A client for AWS services of which the project needs one operation. It uses the parts of the SDK that the S3 client
 * already loads. A client from the SDK would be a sixth of a bundle: docs/decisions/0008-bundles.md.
 * https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html; version 1.1 differs only in its content type.
 */

export type AwsServiceDefinition = Readonly<{
  /** The signing name, and the first label of the host: `dynamodb`. */
  name: string;
  /** The version of the API: `DynamoDB_20120810`. */
  target: string;
  json: '1.0' | '1.1';
  /** Milliseconds for connecting, for one response to begin, and for the whole call with its retries. */
  timeouts: Readonly<{ connect: number; response: number; call: number }>;
  /** The first retry starts after this delay, plus jitter. */
  retryDelayMs: number;
}>;

export type AwsEndpoint = Readonly<{
  region: string;
  /** Replaces the endpoint of the region. */
  endpoint?: string | undefined;
}>;

/** An error response. `name` is the error type; `$metadata` is as in errors of the SDK. */
export class AwsServiceError extends Error {
  override readonly name: string;
  readonly $metadata: Readonly<{ httpStatusCode: number; requestId: string | undefined }>;

  constructor(type: string, message: string, $metadata: AwsServiceError['$metadata']) {
    super(message);
    this.name = type;
    this.$metadata = $metadata;
  }
}

/** Error types that a retry cannot fix: a name, a policy, a key, or credentials have to change first. */
const PERMANENT_ERRORS = new Set([
  'AccessDeniedException',
  'ConditionalCheckFailedException',
  'InvalidKeyId',
  'ResourceNotFoundException',
  'UnrecognizedClientException',
  'ValidationException',
]);
export const isPermanent = (error: unknown): error is AwsServiceError =>
  error instanceof AwsServiceError && PERMANENT_ERRORS.has(error.name);

const MAX_RETRIES = 2;

const ErrorBody = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ __type: v.string(), message: v.optional(v.string()), Message: v.optional(v.string()) }),
);

/** Creates a client for one service at one endpoint. It keeps connections alive and retries errors that are not permanent. */
export function createJsonClient(service: AwsServiceDefinition, { region, endpoint }: AwsEndpoint) {
  const { name, target, json, timeouts, retryDelayMs } = service;
  const url = new URL(endpoint ?? `https://${name}.${region}.${partition(region).dnsSuffix}`);
  const http = new NodeHttpHandler({
    connectionTimeout: timeouts.connect,
    requestTimeout: timeouts.response,
    throwOnRequestTimeout: true,
  });
  const signer = new SignatureV4({ service: name, region, credentials: defaultProvider(), sha256: Sha256 });

  async function send(operation: string, input: unknown, signal: AbortSignal): Promise<JsonResponse> {
    const { protocol, hostname, port, host } = url;
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
    const signed = new HttpRequest(await signer.sign(request));
    const { response } = await http.handle(signed, { abortSignal: signal });
    const { statusCode: httpStatusCode, headers, body } = response;
    return {
      body: await text(addAbortSignal(signal, body)),
      $metadata: { httpStatusCode, requestId: headers['x-amzn-requestid'] },
    };
  }

  /**
   * @returns the response body as `schema` parses it
   * @throws {AwsServiceError} for an error response, or a response that does not match the schema
   * @throws {Error} of the connection, the credentials, or the time limit
   */
  async function call<const S extends v.GenericSchema>(
    operation: string,
    input: unknown,
    schema: S,
  ): Promise<v.InferOutput<S>> {
    const signal = AbortSignal.timeout(timeouts.call);
    return pRetry(async () => parseResponse(schema, await send(operation, input, signal)), {
      retries: MAX_RETRIES,
      minTimeout: retryDelayMs,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => !isPermanent(error),
    });
  }

  return { call, close: () => http.destroy() };
}

type JsonResponse = Readonly<{ body: string; $metadata: AwsServiceError['$metadata'] }>;

function parseResponse<const S extends v.GenericSchema>(
  schema: S,
  { body, $metadata }: JsonResponse,
): v.InferOutput<S> {
  const status = $metadata.httpStatusCode;
  const success = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body || '{}'); // SQS may send no body
  if (status === 200 && success.success) return success.output;
  const failure = v.safeParse(ErrorBody, body);
  // For example a page from a proxy. No excerpt of the body: it may hold a secret.
  if (!failure.success) throw new AwsServiceError('UnexpectedResponse', `HTTP ${status}`, $metadata);
  const { __type, message, Message } = failure.output;
  const type = __type.slice(__type.indexOf('#') + 1); // `com.amazonaws.ssm#InvalidKeyId`
  throw new AwsServiceError(type, message ?? Message ?? `HTTP ${status}`, $metadata);
}
