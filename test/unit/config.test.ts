import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { triggerSettings, uploadSettings, vodSecrets } from '../../lib/config.ts';
import { InvalidSetting } from '../../lib/errors.ts';
import { accelerateTimers } from '../support/accelerate-timers.ts';
import { type ParameterStore, startParameterStore } from '../support/parameter-store.ts';
import { type Answer, scripted } from '../support/scripted-server.ts';
import { failureOf } from '../support/values.ts';

describe('the settings of the upload', () => {
  test('without any: the real service, the real S3, no options', () => {
    const { s3Endpoint, vod, defaults } = uploadSettings({});
    expect(s3Endpoint).toBe(undefined);
    expect({ ...vod, endpoint: vod.endpoint.href }).toEqual({
      endpoint: 'https://vod2.qcloud.com/v2/index.php',
      host: 'vod2.qcloud.com',
      region: 'gz',
    });
    expect(defaults).toEqual({});
  });

  test('each as set', () => {
    const { s3Endpoint, vod, defaults } = uploadSettings({
      S3_ENDPOINT: 'http://127.0.0.1:9000',
      VOD_ENDPOINT: 'http://127.0.0.1:9001/v3/index.php',
      VOD_HOST: 'vod.example.com',
      VOD_REGION: 'sh',
      VOD_CLASS_ID: '3',
    });
    expect(s3Endpoint).toBe('http://127.0.0.1:9000');
    expect({ ...vod, endpoint: vod.endpoint.href }).toEqual({
      endpoint: 'http://127.0.0.1:9001/v3/index.php',
      host: 'vod.example.com',
      region: 'sh',
    });
    expect(defaults).toEqual({ classId: 3 });
  });

  test('set to nothing is not set', () => {
    const empty = { S3_ENDPOINT: '', VOD_ENDPOINT: '', VOD_HOST: '', VOD_REGION: '', VOD_CLASS_ID: '' };
    expect(uploadSettings(empty)).toEqual(uploadSettings({}));
  });

  test('an endpoint without a path means the usual one', () => {
    const { vod } = uploadSettings({ VOD_ENDPOINT: 'http://127.0.0.1:9001' });
    expect(vod.endpoint.href).toBe('http://127.0.0.1:9001/v2/index.php');
  });

  test('how to write back: onto the object’s metadata, in copies as large as S3 makes them, unless set', () => {
    expect(uploadSettings({}).writeBack).toEqual({ mode: 'metadata', maxCopyBytes: 5 * 1024 ** 3 });
    expect(uploadSettings({ WRITE_BACK: '', COPY_LIMIT_BYTES: '' }).writeBack).toEqual(
      uploadSettings({}).writeBack,
    );
    expect(uploadSettings({ WRITE_BACK: 'tags', COPY_LIMIT_BYTES: '5242880' }).writeBack).toEqual({
      mode: 'tags',
      maxCopyBytes: 5_242_880,
    });
  });

  test.each([
    ['S3_ENDPOINT', 'localhost'],
    ['S3_ENDPOINT', 'ftp://127.0.0.1'],
    ['VOD_ENDPOINT', 'vod2.qcloud.com'],
    ['VOD_ENDPOINT', 'https://'],
    ['VOD_HOST', 'https://vod2.qcloud.com'],
    ['VOD_HOST', 'vod2.qcloud.com/v2'],
    ['VOD_REGION', 'g z'],
    ['VOD_CLASS_ID', 'first'],
    ['WRITE_BACK', 'both'],
    ['COPY_LIMIT_BYTES', '5 GB'],
    ['COPY_LIMIT_BYTES', '5242879'],
    ['COPY_LIMIT_BYTES', '-5242880'],
    ['COPY_LIMIT_BYTES', '9'.repeat(30)],
    ['VOD_TRANSCODE', 'maybe'],
    ['VOD_ALLOW_HTTP', 'yes'],
    ['S3_ALLOW_HTTP', '1'],
  ])('%s=%s is refused by name', (name, value) => {
    expect(() => uploadSettings({ [name]: value })).toThrow(InvalidSetting);
    expect(() => uploadSettings({ [name]: value })).toThrow(`setting ${name}: `);
  });
});

describe.each(['S3', 'VOD'])('the way to %s', (end) => {
  const set =
    (address: string, more: Record<string, string> = {}) =>
    () =>
      uploadSettings({ [`${end}_ENDPOINT`]: address, ...more });

  test.each([
    'http://vod.example',
    'http://10.0.0.7:9000/v2/index.php',
    'http://127.0.0.1.example',
    'http://localhost.example',
    'http://[2001:db8::1]',
    'http://0.0.0.0:9000',
  ])('%s has no TLS: refused, unless a setting allows it', (address) => {
    expect(set(address)).toThrow(InvalidSetting);
    expect(set(address)).toThrow(`setting ${end}_ENDPOINT: expected an https address`);
    expect(set(address)).toThrow(`set ${end}_ALLOW_HTTP=true`);
    expect(set(address, { [`${end}_ALLOW_HTTP`]: 'false' })).toThrow(InvalidSetting);
    expect(set(address, { [`${end}_ALLOW_HTTP`]: 'true' })).not.toThrow();
    expect(set(address, { [`${end === 'S3' ? 'VOD' : 'S3'}_ALLOW_HTTP`]: 'true' })).toThrow(InvalidSetting);
    expect(set(address.replace('http:', 'https:'))).not.toThrow();
  });

  test.each([
    'http://localhost:9000',
    'http://LOCALHOST',
    'http://127.1:9000',
    'http://127.9.9.9',
    'http://[::1]:9000',
  ])('%s does not leave the machine', (address) => {
    expect(set(address)).not.toThrow();
  });

  test.each(['http', 'https'])('a password in an address (%s) is refused, and not repeated', (scheme) => {
    const tried = set(`${scheme}://someone:pa55word@127.0.0.1:9000`);
    expect(tried).toThrow(`setting ${end}_ENDPOINT: expected an address without a user name and a password`);
    expect(tried).not.toThrow('pa55word');
  });
});

describe('the setting of the trigger', () => {
  const arn = 'arn:aws:states:eu-central-1:123456789012:stateMachine:upload';

  test('is the state machine', () => {
    expect(triggerSettings({ STATE_MACHINE_ARN: arn })).toEqual({ stateMachineArn: arn });
  });

  test.each([{}, { STATE_MACHINE_ARN: '' }, { STATE_MACHINE_ARN: 'upload' }])(
    '%j is refused by name',
    (env) => {
      expect(() => triggerSettings(env)).toThrow(InvalidSetting);
      expect(() => triggerSettings(env)).toThrow('setting STATE_MACHINE_ARN: ');
    },
  );
});

describe('the secrets', () => {
  let store: ParameterStore;
  beforeAll(async () => {
    store = await startParameterStore();
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'function');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'function-secret');
  });
  afterAll(() => store.close());
  const SECRETS = { VOD_SECRET_ID: 'id-4711', VOD_SECRET_KEY: 'key-4712' };
  /** The settings of a function that may ask the store. */
  const withStore = (settings: Record<string, string>) => ({
    ...SECRETS,
    AWS_REGION: 'eu-central-1',
    AWS_ENDPOINT_URL_SSM: store.endpoint,
    ...settings,
  });

  test('from the environment', async () => {
    expect(await vodSecrets(SECRETS)).toEqual({ secretId: 'id-4711', secretKey: 'key-4712' });
    expect(await vodSecrets({ ...SECRETS, VOD_TOKEN: 'token-4713' })).toEqual({
      secretId: 'id-4711',
      secretKey: 'key-4712',
      token: 'token-4713',
    });
    expect(await vodSecrets({ ...SECRETS, VOD_TOKEN: '' })).toEqual({
      secretId: 'id-4711',
      secretKey: 'key-4712',
    });
    expect(store.asked()).toEqual([]);
  });

  test('from the parameter store, decrypted, which goes before the environment, and is asked once', async () => {
    store.holds('/stored/id', 'stored-id');
    store.holds('/stored/key', 'stored-key');
    store.holds('/stored/token', 'stored-token');
    const env = withStore({
      VOD_SECRET_ID_PARAMETER: '/stored/id',
      VOD_SECRET_KEY_PARAMETER: '/stored/key',
      VOD_TOKEN_PARAMETER: '/stored/token',
    });
    const stored = { secretId: 'stored-id', secretKey: 'stored-key', token: 'stored-token' };
    expect([await vodSecrets(env), await vodSecrets(env)]).toEqual([stored, stored]);
    expect(store.asked().filter((name) => name.startsWith('/stored/'))).toHaveLength(3);
  });

  test('a parameter’s name that is empty is not set', async () => {
    const env = { ...SECRETS, VOD_SECRET_ID_PARAMETER: '', VOD_SECRET_KEY_PARAMETER: '' };
    expect(await vodSecrets(env)).toEqual({ secretId: 'id-4711', secretKey: 'key-4712' });
  });

  test('a changed parameter is seen after five minutes, not before', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const env = withStore({ VOD_SECRET_KEY_PARAMETER: '/changed/key' });
    const keyAfter = async (ms: number) => {
      vi.setSystemTime(Date.now() + ms);
      return (await vodSecrets(env)).secretKey;
    };
    store.holds('/changed/key', 'old');
    expect(await keyAfter(0)).toBe('old');
    store.holds('/changed/key', 'new');
    expect([await keyAfter(299_000), await keyAfter(1_001)]).toEqual(['old', 'new']);
  });

  test('a store that has too much to do is asked again', async () => {
    store.refuses('/throttled', 400, 'ThrottlingException', 'Rate exceeded');
    store.thenHolds('/throttled', 'came-through');
    const { secretKey } = await vodSecrets(withStore({ VOD_SECRET_KEY_PARAMETER: '/throttled' }));
    expect(secretKey).toBe('came-through');
  });

  test.each([
    ['throttles', 400, 'ThrottlingException'],
    ['is not well', 500, 'InternalServerError'],
  ])('a store that %s for long: the state machine may ask again', async (_, status, type) => {
    const name = `/passing/${status}`;
    store.refuses(name, status, type, 'later');
    const error = await failureOf(vodSecrets(withStore({ VOD_SECRET_KEY_PARAMETER: name })));
    expect(error).toMatchObject({
      name: 'SettingUnavailable',
      message: expect.stringContaining(
        `${name} (setting VOD_SECRET_KEY_PARAMETER): the read failed: ${type}`,
      ),
    });
    expect(store.asked().filter((asked) => asked === name)).toHaveLength(3);
  });

  test('so it may where the store does not answer, or something else does', async () => {
    const nobody = { AWS_ENDPOINT_URL_SSM: 'http://127.0.0.1:1', VOD_SECRET_KEY_PARAMETER: '/unreached' };
    const unreached = await failureOf(vodSecrets(withStore(nobody)));
    expect([unreached.name, unreached.message]).toEqual([
      'SettingUnavailable',
      expect.stringContaining('ECONNREFUSED'),
    ]);
    store.says('/proxy', 502, '<html>Bad Gateway</html>');
    const { name, message } = await failureOf(vodSecrets(withStore({ VOD_SECRET_KEY_PARAMETER: '/proxy' })));
    expect([name, message]).toEqual(['SettingUnavailable', expect.stringContaining('HTTP 502')]);
  });

  test.each<[string, Answer]>([
    ['does not begin', () => {}],
    ['does not end', (response) => void response.writeHead(200).write('{"Parameter":')],
  ])('nobody waits for an answer that %s', async (which, silent) => {
    accelerateTimers();
    const { timeout } = AbortSignal;
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout.call(AbortSignal, ms / 25));
    const { endpoint } = await scripted(silent);
    const settings = { AWS_ENDPOINT_URL_SSM: endpoint, VOD_SECRET_KEY_PARAMETER: `/silent/${which}` };
    expect(await failureOf(vodSecrets(withStore(settings)))).toMatchObject({
      name: 'SettingUnavailable',
      message: expect.stringMatching(/the read failed: .*time/i),
    });
  });

  test.each(['http://ssm.example.com', 'ssm.example.com', 'ftp://127.0.0.1'])(
    'nobody is asked at %s, where others can listen',
    async (AWS_ENDPOINT_URL_SSM) => {
      const env = withStore({ AWS_ENDPOINT_URL_SSM, VOD_SECRET_KEY_PARAMETER: '/overheard' });
      expect(await failureOf(vodSecrets(env))).toMatchObject({
        name: 'InvalidSetting',
        message: expect.stringContaining('setting AWS_ENDPOINT_URL_SSM: '),
      });
    },
  );

  test('a parameter needs a region to be in', async () => {
    const error = await failureOf(vodSecrets({ ...SECRETS, VOD_SECRET_ID_PARAMETER: '/anywhere' }));
    expect(error).toMatchObject({
      name: 'InvalidSetting',
      message: expect.stringContaining('setting AWS_REGION: expected the region of parameter'),
    });
  });

  test('none is ever in a message, whatever else is wrong', async () => {
    const anySecret = fc.stringMatching(/^[A-Za-z0-9+/=]{12,40}$/);
    const wrong = fc.constantFrom<Record<string, string>>(
      { VOD_SECRET_ID: '' },
      { VOD_SECRET_KEY: '' },
      { VOD_SECRET_ID_PARAMETER: '/refused' },
      { VOD_SECRET_KEY_PARAMETER: '/refused' },
      { VOD_TOKEN_PARAMETER: '/refused' },
      { VOD_HOST: 'no host' },
      { VOD_ENDPOINT: 'nowhere' },
      { VOD_CLASS_ID: 'seven' },
    );
    store.refuses('/refused', 400, 'AccessDeniedException', 'not allowed');
    await fc.assert(
      fc.asyncProperty(fc.tuple(anySecret, anySecret, anySecret), wrong, async (secrets, change) => {
        const [VOD_SECRET_ID, VOD_SECRET_KEY, VOD_TOKEN] = secrets;
        const env = withStore({ VOD_SECRET_ID, VOD_SECRET_KEY, VOD_TOKEN, ...change });
        const start = async () => [uploadSettings(env), await vodSecrets(env)];
        const error = await failureOf(start());
        expect(error.name).toBe('InvalidSetting');
        for (const secret of secrets) expect(inspect(error, { depth: 9 })).not.toContain(secret);
      }),
    );
  });

  test.each(['VOD_SECRET_ID', 'VOD_SECRET_KEY'])(
    'without %s: told what to set, and no value of the others',
    async (name) => {
      for (const value of [undefined, '']) {
        const { name: kind, message } = await failureOf(
          vodSecrets({ ...SECRETS, VOD_TOKEN: 'token-4713', [name]: value }),
        );
        expect(kind).toBe('InvalidSetting');
        expect(message).toContain(
          `setting ${name}: expected a value, got nothing. Set it, or set ${name}_PARAMETER`,
        );
        expect(message).not.toMatch(/471\d/);
      }
    },
  );

  test('a parameter that cannot be read is named, with its setting; no value is', async () => {
    store.holds('/unread/id', 'stored-id-4714');
    const env = withStore({
      VOD_SECRET_ID_PARAMETER: '/unread/id',
      VOD_SECRET_KEY_PARAMETER: '/unread/key',
    });
    const error = await failureOf(vodSecrets(env));
    expect(error.name).toBe('InvalidSetting');
    expect(error.message).toContain(
      'parameter /unread/key (setting VOD_SECRET_KEY_PARAMETER): the read failed: ParameterNotFound',
    );
    expect(inspect(error, { depth: 9 })).not.toMatch(/471\d/);
  });

  test.each(['', undefined])('a parameter that holds nothing (%j): as one that is missing', async (Value) => {
    const name = `/empty/${String(Value)}`;
    store.holds(name, Value);
    const env = withStore({ VOD_SECRET_KEY: '', VOD_SECRET_KEY_PARAMETER: name });
    const error = await failureOf(vodSecrets(env));
    expect([error.name, error.message]).toEqual([
      'InvalidSetting',
      expect.stringContaining('VOD_SECRET_KEY'),
    ]);
  });
});
