import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../lib/errors.ts';
import { FileId, FinishInput, InitInput, PartInput, parse, Sha1, UploadRequest } from '../../lib/schemas.ts';

const read = (value: unknown) => parse(UploadRequest, value, 'the request');

test('what fits comes out as the schema has it', () => {
  expect(read({ bucket: 'b', key: 'k', options: { tags: ['x'] } })).toEqual({
    bucket: 'b',
    key: 'k',
    options: { tags: ['x'] },
  });
});

test('what does not is refused: what it is, and each field that is wrong, by its path', () => {
  const wrong = () => read({ bucket: '', options: { classId: 'seven', tags: ['x', ''] } });
  expect(wrong).toThrow(InvalidInput);
  expect(wrong).toThrow(/^the request: /);
  for (const field of ['bucket: ', 'key: ', 'options.classId: ', 'options.tags.1: '])
    expect(wrong).toThrow(field);
});

test('a thing that is wrong twice in the same way is told once', () => {
  expect(() => parse(Sha1, 'x', 'a hash')).toThrow(/^a hash: Expected 40 lower-case hex digits$/);
});

test('what is wrong is told in few words, however long or many the wrong things are', () => {
  const long = 'x'.repeat(10_000);
  const messageOf = (value: unknown): string => {
    try {
      read(value);
    } catch (error) {
      return error instanceof Error ? error.message : '';
    }
    return '';
  };
  expect(messageOf({ bucket: 'b', key: 'k', size: long }).length).toBeLessThan(500);
  expect(messageOf({ bucket: 'b', key: 'k', [long]: 1 }).length).toBeLessThan(500);
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`field ${n}`, n]));
  expect(messageOf({ ...many, options: { tags: Array(1000).fill('') } }).length).toBeLessThan(3000);
});

describe('the doors of the steps', () => {
  const sent = { parts: 0, bytes: 0 };
  const pin = { bucket: 'b', key: 'k', etag: 'e', size: 5 };
  const request = { bucket: 'b', key: 'k' };
  const sha1 = 'a'.repeat(40);

  test.each([
    ['another round than a number', { request, round: '0', sent }],
    ['a round before the first', { request, round: -1, sent }],
    ['half a byte', { request, round: 0, sent: { parts: 0, bytes: 0.5 } }],
    ['a hash in capitals', { request, round: 0, sent, sha1: sha1.toUpperCase() }],
    ['a field of the request that nobody knows', { request: { ...request, colour: 'red' }, round: 0, sent }],
  ])('Init refuses %s', (_, value) => {
    expect(() => parse(InitInput, value, 'the input of init')).toThrow(InvalidInput);
  });

  test.each([
    ['no batch', { pin, upload: { sha1, size: 5, partSize: 5 }, sent }],
    [
      'a batch past the end',
      { pin, upload: { sha1, size: 5, partSize: 5 }, batch: { first: 0, count: 2 }, sent },
    ],
    ['an empty batch', { pin, upload: { sha1, size: 5, partSize: 5 }, batch: { first: 0, count: 0 }, sent }],
    [
      'parts of no size',
      { pin, upload: { sha1, size: 5, partSize: 0 }, batch: { first: 0, count: 1 }, sent },
    ],
    [
      'a pin without an ETag',
      {
        pin: { ...pin, etag: '' },
        upload: { sha1, size: 5, partSize: 5 },
        batch: { first: 0, count: 1 },
        sent,
      },
    ],
  ])('Part refuses %s', (_, value) => {
    expect(() => parse(PartInput, value, 'the input of part')).toThrow(InvalidInput);
  });

  test('Finish refuses a fileId that is a number: its digits are lost already', () => {
    const job = { request, round: 0, sent, pin, sha1 };
    const file = { fileId: 52_858_909_004_613, url: '', sha1 };
    expect(() => parse(FinishInput, { job: { ...job, file }, redrives: 0 }, 'it')).toThrow(
      'job.file.fileId: ',
    );
  });
});

test('a fileId keeps every digit', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9]{1,40}$/), (digits) => {
      expect(parse(FileId, digits, 'a fileId')).toBe(digits);
    }),
  );
  expect(() => parse(FileId, '12a', 'a fileId')).toThrow('a fileId: Expected a string of digits');
});
