/**
 * The error codes of the service: those that https://www.tencentcloud.com/document/product/266/34126 and the pages of the
 * calls document. `InvalidParameterValue` is followed by the name of the parameter.
 */
export type ApiErrorCode =
  | 'AuthFailure.InvalidAuthorization'
  | 'AuthFailure.SecretIdNotFound'
  | 'AuthFailure.SignatureExpire'
  | 'AuthFailure.SignatureFailure'
  | 'AuthFailure.TokenFailure'
  | 'FailedOperation'
  | 'InternalError'
  | 'InvalidAction'
  | 'InvalidParameter'
  | `InvalidParameterValue.${string}`
  | 'MissingParameter'
  | 'NoSuchVersion'
  | 'RequestLimitExceeded'
  | 'RequestSizeLimitExceeded'
  | 'ResourceNotFound'
  | 'UnknownParameter'
  | 'UnsupportedOperation'
  | 'UnsupportedProtocol';

/** An error response of API 2018-07-17. Its HTTP status is 200. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;

  constructor(code: ApiErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
