import { createHash } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';
import type { HttpRequest } from '@smithy/types';

/**
 * Signs the header bytes that Node sends. Node reads and writes header values as Latin-1: each character is one byte. The SDK's
 * signer hashes them as UTF-8 and counts the byte 0xA0 as a space, so a value such as `片.mp4` would not match its signature.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
export class HeaderByteSigner extends SignatureV4 {
  protected override createCanonicalRequest(
    request: HttpRequest,
    canonicalHeaders: Record<string, string>,
    payloadHash: string,
  ): string {
    const sent = new Map(Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]));
    const exact = Object.keys(canonicalHeaders).map((name) => [name, collapseSpaces(sent.get(name) ?? '')]);
    return super.createCanonicalRequest(request, Object.fromEntries(exact), payloadHash);
  }

  protected override async createStringToSign(
    longDate: string,
    scope: string,
    canonicalRequest: string,
    algorithm: string,
  ): Promise<string> {
    const hash = createHash('sha256').update(canonicalRequest, 'latin1').digest('hex');
    return [algorithm, longDate, scope, hash].join('\n');
  }
}

const collapseSpaces = (value: string): string => value.replace(/[ \t]+/g, ' ').replace(/^ | $/g, '');
