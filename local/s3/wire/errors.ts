/**
 * Status and standard message of every error that the local S3 and the local COS return. Only COS has `ExpiredToken`,
 * `FileAlreadyExists`, and `KeyTooLong`.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 * https://www.tencentcloud.com/document/product/436/7730
 */
const ERRORS = {
  AccessDenied: '403 Access Denied',
  AnnotationLimitExceeded:
    '400 The request would exceed the maximum number of annotations allowed per object.',
  AnnotationNameTooLong: '400 The annotation name exceeds 512 bytes.',
  AuthorizationHeaderMalformed: '400 The authorization header that you provided is not valid.',
  AuthorizationQueryParametersError:
    '400 The authorization query parameters that you provided are not valid.',
  BadDigest:
    '400 The Content-MD5 or checksum value that you specified did not match what the server received.',
  BucketNotEmpty: '409 The bucket that you tried to delete is not empty.',
  EntityTooLarge: '400 Your proposed upload exceeds the maximum allowed object size.',
  EntityTooSmall: '400 Your proposed upload is smaller than the minimum allowed object size.',
  ExpiredToken: '403 The temporary key has expired.',
  FileAlreadyExists: '409 The object already exists, and the request forbids to overwrite it.',
  IllegalVersioningConfigurationException:
    '400 The versioning configuration specified in the request is invalid.',
  IncompleteBody: '400 You did not provide the number of bytes specified by the Content-Length HTTP header.',
  InternalError: '500 We encountered an internal error. Please try again.',
  InvalidAccessKeyId: '403 The AWS access key ID that you provided does not exist in our records.',
  InvalidAnnotationName: '400 The annotation name you provided is invalid.',
  InvalidArgument: '400 Invalid Argument',
  InvalidBucketName: '400 The specified bucket is not valid.',
  InvalidDigest: '400 The Content-MD5 or checksum value that you specified is not valid.',
  InvalidObjectState: "403 The operation is not valid for the object's storage class",
  InvalidPart:
    '400 One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not have matched the uploaded part’s entity tag.',
  InvalidPartNumber: '416 The requested partnumber is not satisfiable',
  InvalidPartOrder:
    '400 The list of parts was not in ascending order. The parts list must be specified in order by part number.',
  InvalidPolicyDocument:
    '400 The content of the form does not meet the conditions specified in the policy document.',
  InvalidPrefix: '400 The annotation prefix you provided is invalid.',
  InvalidRange: '416 The requested range is not satisfiable',
  InvalidRequest: '400 Invalid Request',
  InvalidStorageClass: '400 The storage class you specified is not valid',
  InvalidTag: '400 The tag provided was not a valid tag.',
  InvalidURI: "400 Couldn't parse the specified URI.",
  KeyTooLong: '400 The key is longer than 850 bytes.',
  KeyTooLongError: '400 Your key is too long',
  MalformedACLError:
    '400 The ACL that you provided was not well formed or did not validate against our published schema.',
  MalformedPOSTRequest: '400 The body of your POST request is not well-formed multipart/form-data.',
  MalformedXML:
    '400 The XML that you provided was not well formed or did not validate against our published schema.',
  MetadataTooLarge: '400 Your metadata headers exceed the maximum allowed metadata size.',
  MethodNotAllowed: '405 The specified method is not allowed against this resource.',
  MissingContentLength: '411 You must provide the Content-Length HTTP header.',
  NoSuchAnnotation: '404 The specified annotation does not exist on this object.',
  NoSuchBucket: '404 The specified bucket does not exist',
  NoSuchKey: '404 The specified key does not exist.',
  NoSuchLifecycleConfiguration: '404 The lifecycle configuration does not exist',
  NoSuchUpload:
    '404 The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed.',
  NoSuchVersion: '404 The specified version does not exist.',
  NotImplemented: '501 A header or query that you provided implies functionality that is not implemented.',
  ObjectLockConfigurationNotFoundError: '404 Object Lock configuration does not exist for this bucket',
  PreconditionFailed: '412 At least one of the preconditions that you specified did not hold.',
  ReplicationConfigurationNotFoundError: '404 The replication configuration was not found',
  RequestTimeTooSkewed: "403 The difference between the request time and the server's time is too large.",
  SignatureDoesNotMatch:
    '403 The request signature we calculated does not match the signature you provided. Check your key and signing method.',
  SlowDown: '503 Please reduce your request rate.',
  TooManyRequests: '429 Please reduce your request rate.',
  UnsupportedMediaType: '415 The annotation payload is not valid UTF-8 encoded text.',
  XAmzContentSHA256Mismatch:
    "400 The provided 'x-amz-content-sha256' header does not match what was computed.",
};

export type S3ErrorCode = keyof typeof ERRORS;

type ErrorDetails = Readonly<Record<string, string | number>>;

type S3ErrorOptions = Readonly<{
  /** Replaces the standard message of the code. */
  message?: string;
  /** Further elements of the XML body, such as `Key` or `ArgumentName`. */
  details?: ErrorDetails;
  headers?: Readonly<Record<string, string>>;
  cause?: unknown;
}>;

/** An error response of S3. */
export class S3Error extends Error {
  override readonly name = 'S3Error';
  readonly code: S3ErrorCode;
  readonly status: number;
  readonly details: ErrorDetails;
  readonly headers: Readonly<Record<string, string>>;

  /** A string replaces the standard message of the code. */
  constructor(code: S3ErrorCode, options: string | S3ErrorOptions = {}) {
    const {
      message,
      details = {},
      headers = {},
      ...errorOptions
    } = typeof options === 'string' ? { message: options } : options;
    super(message ?? ERRORS[code].slice(4), errorOptions);
    this.code = code;
    this.status = Number(ERRORS[code].slice(0, 3));
    this.details = details;
    this.headers = headers;
  }
}
