import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../lib/errors.ts';
import { FileId, FinishInput, InitInput, PartInput, parse, Sha1, UploadRequest } from '../../lib/schemas.ts';

const parseRequest = (value: unknown) => parse(UploadRequest, value, 'the request');

describe('parse', () => {
  test('returns a valid value', () => {
    const request = { bucket: 'b', key: 'k', options: { tags: ['x'] } };
    expect(parseRequest(request)).toEqual(request);
  });

  test('throws InvalidInput with the source and the path of each wrong field', () => {
    const wrong = () => parseRequest({ bucket: '', options: { classId: 'seven', tags: ['x', ''] } });
    expect(wrong).toThrow(InvalidInput);
    expect(wrong).toThrow(/^the request: /);
    for (const field of ['bucket: ', 'key: ', 'options.classId: ', 'options.tags.1: '])
      expect(wrong).toThrow(field);
  });

  test('lists equal issues once', () => {
    expect(() => parse(Sha1, 'x', 'a hash')).toThrow(/^a hash: Expected 40 lower-case hex digits$/);
  });

  test('limits the length of its message', () => {
    const long = 'x'.repeat(10_000);
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`field ${n}`, n]));
    expect(() => parseRequest({ bucket: 'b', key: 'k', size: long })).toThrow(/^.{1,500}$/);
    expect(() => parseRequest({ bucket: 'b', key: 'k', [long]: 1 })).toThrow(/^.{1,500}$/);
    expect(() => parseRequest({ ...many, options: { tags: Array(1000).fill('') } })).toThrow(/^.{1,3000}$/);
  });
});

describe('the inputs of the steps', () => {
  const sent = { parts: 0, bytes: 0 };
  const pin = { bucket: 'b', key: 'k', etag: 'e', size: 5 };
  const request = { bucket: 'b', key: 'k' };
  const sha1 = 'a'.repeat(40);
  const job = { request, round: 0, sent };
  const upload = { session: sha1, functions: 1, size: 5, partSize: 5 };
  const part = { pin, upload, batch: { first: 0, count: 1 }, sent };

  test('are accepted when they are complete', () => {
    expect(parse(InitInput, job, 'it')).toEqual(job);
    expect(parse(PartInput, part, 'it')).toEqual(part);
  });

  test.each([
    ['a string as the round', { ...job, round: '0' }],
    ['a negative round', { ...job, round: -1 }],
    ['half a byte', { ...job, sent: { parts: 0, bytes: 0.5 } }],
    ['an upper-case hash', { ...job, sha1: sha1.toUpperCase() }],
    ['an unknown field of the request', { ...job, request: { ...request, colour: 'red' } }],
  ])('Init rejects %s', (_, value) => {
    expect(() => parse(InitInput, value, 'the input of init')).toThrow(InvalidInput);
  });

  test.each([
    ['a missing batch', { ...part, batch: undefined }],
    ['a batch past the end', { ...part, batch: { first: 0, count: 2 } }],
    ['an empty batch', { ...part, batch: { first: 0, count: 0 } }],
    ['parts of 0 bytes', { ...part, upload: { ...upload, partSize: 0 } }],
    ['an object version without an ETag', { ...part, pin: { ...pin, etag: '' } }],
  ])('Part rejects %s', (_, value) => {
    expect(() => parse(PartInput, value, 'the input of part')).toThrow(InvalidInput);
  });

  test('Finish rejects a numeric fileId, which has lost digits', () => {
    const file = { fileId: 52_858_909_004_613, url: '', sha1 };
    const input = { job: { ...job, pin, sha1, file }, redrives: 0 };
    expect(() => parse(FinishInput, input, 'it')).toThrow('job.file.fileId: ');
  });
});

test('FileId keeps every digit', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9]{1,40}$/), (digits) => {
      expect(parse(FileId, digits, 'a fileId')).toBe(digits);
    }),
  );
  expect(() => parse(FileId, '12a', 'a fileId')).toThrow('a fileId: Expected a string of digits');
});
