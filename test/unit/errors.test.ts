import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import * as errors from '../../lib/errors.ts';

const { errorMessage, stripCanonicalRequest, ...classes } = errors;

test.each(Object.entries(classes))('%s keeps its name when a minifier renames it', (name, Class) => {
  const cause = new Error('why');
  const error = new Class('what failed', { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name, message: 'what failed', cause });
  expect(Object.hasOwn(error, 'name')).toBe(true);
  expect(inspect(error)).toContain(`${name}: what failed`);
});

describe('errorMessage', () => {
  const code = 'ECONNREFUSED';
  const unreachable = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code });
  const broken = (code: unknown) => Object.assign(new Error('it broke'), { code });

  test.each([
    ['the message that contains the code', unreachable, 'connect ECONNREFUSED 127.0.0.1:1'],
    ['the code if there is no message', Object.assign(new Error(''), { code }), 'ECONNREFUSED'],
    ['the code and the message', broken('EPIPE'), 'EPIPE it broke'],
    ['the name and the message', new TypeError('it broke'), 'TypeError it broke'],
    ['the code of several', Object.assign(new AggregateError([unreachable]), { code }), 'ECONNREFUSED'],
    ['the message of a plain error', new Error('it broke'), 'it broke'],
    ['no undefined code', broken(undefined), 'it broke'],
    ['a numeric code', broken(7), '7 it broke'],
    ['a string', 'it broke', 'it broke'],
    ['undefined', undefined, 'undefined'],
    [
      'no canonical request of AWS',
      new TypeError('wrong signature.\n\nThe Canonical String should have been\nx-amz-security-token:t0ken'),
      'TypeError wrong signature.',
    ],
  ])('returns %s', (_, error, message) => {
    expect(errorMessage(error)).toBe(message);
  });
});

test('stripCanonicalRequest keeps a message without an empty line', () => {
  expect(stripCanonicalRequest('it broke\nthere')).toBe('it broke\nthere');
});
