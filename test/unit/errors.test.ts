import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import * as errors from '../../lib/errors.ts';

const { errorMessage: reasonOf, stripCanonicalRequest: withoutRequest, ...classes } = errors;

test.each(Object.entries(classes))(
  '%s is an Error of that very name, which no minifier changes',
  (name, Class) => {
    const cause = new Error('why');
    const error = new Class('what was tried', { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name, message: 'what was tried', cause });
    expect(Object.hasOwn(error, 'name')).toBe(true);
    expect(inspect(error)).toContain(`${name}: what was tried`);
  },
);

describe('the reason of somebody else’s error', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' });

  test.each([
    ['its message where that says its code', refused, 'connect ECONNREFUSED 127.0.0.1:1'],
    ['its code where it has no message', Object.assign(new Error(''), { code: 'ECONNRESET' }), 'ECONNRESET'],
    [
      'its code before its message',
      Object.assign(new Error('it broke'), { code: 'EPIPE' }),
      'EPIPE it broke',
    ],
    ['its name before its message', new TypeError('it broke'), 'TypeError it broke'],
    [
      'the code of several',
      Object.assign(new AggregateError([refused]), { code: 'ECONNREFUSED' }),
      'ECONNREFUSED',
    ],
    ['the message of a plain one', new Error('it broke'), 'it broke'],
    ['no code that is undefined', Object.assign(new Error('it broke'), { code: undefined }), 'it broke'],
    ['a code that is a number', Object.assign(new Error('it broke'), { code: 7 }), '7 it broke'],
    ['what is no Error, as text', 'it broke', 'it broke'],
    ['nothing, as text', undefined, 'undefined'],
    [
      'not the request that AWS would have signed',
      new TypeError('wrong signature.\n\nThe Canonical String should have been\nx-amz-security-token:t0ken'),
      'TypeError wrong signature.',
    ],
  ])('%s', (_, error, reason) => {
    expect(reasonOf(error)).toBe(reason);
  });
});

test('a message without an empty line stays as it is', () => {
  expect(withoutRequest('it broke\nthere')).toBe('it broke\nthere');
});
