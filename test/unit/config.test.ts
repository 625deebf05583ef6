import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { triggerSettings, uploadSettings, vodSecrets } from '../../lib/config.ts';
import { InvalidSetting } from '../../lib/errors.ts';
import { accelerateTimers } from '../support/accelerate-timers.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { type ParameterStore, startParameterStore } from '../support/parameter-store.ts';
import { type Responder, startScriptedServer } from '../support/scripted-server.ts';

describe('uploadSettings', () => {
  /** The settings, with the endpoint of VOD as text. */
  const read = (env: Record<string, string>) => {
    const { vod, ...others } = uploadSettings(env);
    return { ...others, vod: { ...vod, endpoint: vod.endpoint.href } };
  };

  test('defaults to the public VOD endpoint and to S3 itself', () => {
    const vod = { endpoint: 'https://vod2.qcloud.com/v2/index.php', host: 'vod2.qcloud.com', region: 'gz' };
    expect(read({})).toMatchObject({ s3Endpoint: undefined, vod, defaults: {} });
  });

  test('returns each variable', () => {
    const s3Endpoint = 'http://127.0.0.1:9000';
    const vod = { endpoint: 'http://127.0.0.1:9001/v3/index.php', host: 'vod.example.com', region: 'sh' };
    const vodEnv = { VOD_ENDPOINT: vod.endpoint, VOD_HOST: vod.host, VOD_REGION: vod.region };
    const env = { S3_ENDPOINT: s3Endpoint, ...vodEnv, VOD_CLASS_ID: '3' };
    expect(read(env)).toMatchObject({ s3Endpoint, vod, defaults: { classId: 3 } });
  });

  test('treats an empty variable as not set', () => {
    const names = ['S3_ENDPOINT', 'VOD_ENDPOINT', 'VOD_HOST', 'VOD_REGION', 'VOD_CLASS_ID'];
    const empty = [...names, 'WRITE_BACK', 'COPY_LIMIT_BYTES'].map((name) => [name, '']);
    expect(uploadSettings(Object.fromEntries(empty))).toEqual(uploadSettings({}));
  });

  test('completes an endpoint without a path', () => {
    const { vod } = read({ VOD_ENDPOINT: 'http://127.0.0.1:9001' });
    expect(vod.endpoint).toBe('http://127.0.0.1:9001/v2/index.php');
  });

  test('writes back to metadata, in copies of up to 5 GiB, unless configured otherwise', () => {
    expect(uploadSettings({}).writeBack).toEqual({ mode: 'metadata', maxCopyBytes: 5 * 1024 ** 3 });
    const { writeBack } = uploadSettings({ WRITE_BACK: 'tags', COPY_LIMIT_BYTES: '5242880' });
    expect(writeBack).toEqual({ mode: 'tags', maxCopyBytes: 5_242_880 });
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
  ])('rejects %s=%s and names the variable', (name, value) => {
    expect(() => uploadSettings({ [name]: value })).toThrow(InvalidSetting);
    expect(() => uploadSettings({ [name]: value })).toThrow(`setting ${name}: `);
  });
});

describe.each(['S3', 'VOD'])('the endpoint of %s', (service) => {
  const set =
    (address: string, more: Record<string, string> = {}) =>
    () =>
      uploadSettings({ [`${service}_ENDPOINT`]: address, ...more });

  test.each([
    'http://vod.example',
    'http://10.0.0.7:9000/v2/index.php',
    'http://127.0.0.1.example',
    'http://localhost.example',
    'http://[2001:db8::1]',
    'http://0.0.0.0:9000',
  ])('must be https, unless a setting allows http: %s', (address) => {
    const other = service === 'S3' ? 'VOD' : 'S3';
    expect(set(address)).toThrow(InvalidSetting);
    expect(set(address)).toThrow(`setting ${service}_ENDPOINT: expected an https address`);
    expect(set(address)).toThrow(`set ${service}_ALLOW_HTTP=true`);
    expect(set(address, { [`${service}_ALLOW_HTTP`]: 'false' })).toThrow(InvalidSetting);
    expect(set(address, { [`${service}_ALLOW_HTTP`]: 'true' })).not.toThrow();
    expect(set(address, { [`${other}_ALLOW_HTTP`]: 'true' })).toThrow(InvalidSetting);
    expect(set(address.replace('http:', 'https:'))).not.toThrow();
  });

  test.each([
    'http://localhost:9000',
    'http://LOCALHOST',
    'http://127.1:9000',
    'http://127.9.9.9',
    'http://[::1]:9000',
  ])('can be http on the same machine: %s', (address) => {
    expect(set(address)).not.toThrow();
  });

  test.each(['http', 'https'])('must not contain a password, and the error omits it (%s)', (scheme) => {
    const attempt = set(`${scheme}://someone:pa55word@127.0.0.1:9000`);
    expect(attempt).toThrow(`setting ${service}_ENDPOINT: expected an address without a user name`);
    expect(attempt).not.toThrow('pa55word');
  });
});

describe('triggerSettings', () => {
  const ENV = {
    STATE_MACHINE_ARN: 'arn:aws:states:eu-central-1:123456789012:stateMachine:upload',
    QUEUE_URL: 'https://sqs.eu-central-1.amazonaws.com/123456789012/events',
    DEAD_LETTER_QUEUE_URL: 'https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters',
    AWS_REGION: 'eu-central-1',
  };

  test('returns the state machine, the queues, and the quota', () => {
    expect(triggerSettings(ENV)).toMatchObject({
      stateMachineArn: ENV.STATE_MACHINE_ARN,
      queue: { url: ENV.QUEUE_URL, deadLetterUrl: ENV.DEAD_LETTER_QUEUE_URL, region: 'eu-central-1' },
      quota: { table: undefined, callsPerMinute: 100, partsPerMinute: 10_000 },
    });
  });

  test.each([
    ['STATE_MACHINE_ARN', ''],
    ['STATE_MACHINE_ARN', 'upload'],
    ['QUEUE_URL', 'events'],
    ['DEAD_LETTER_QUEUE_URL', ''],
    ['AWS_REGION', ''],
    ['QUOTA_CALLS_PER_MINUTE', '0'],
  ])('rejects %s=%s', (name, value) => {
    const env = { ...ENV, [name]: value };
    expect(() => triggerSettings(env)).toThrow(InvalidSetting);
    expect(() => triggerSettings(env)).toThrow(`setting ${name}: `);
  });

  test('rejects an S3 address that others can read', () => {
    expect(() => triggerSettings({ ...ENV, S3_ENDPOINT: 'http://s3.example.com' })).toThrow(
      'setting S3_ENDPOINT',
    );
  });
});

describe('vodSecrets', () => {
  let store: ParameterStore;
  beforeAll(async () => {
    store = await startParameterStore();
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'function');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'function-secret');
  });
  afterAll(() => store.close());
  const SECRETS = { VOD_SECRET_ID: 'id-4711', VOD_SECRET_KEY: 'key-4712' };
  /** The settings of a function that can call the store. */
  const withStore = (settings: Record<string, string>) => ({
    ...SECRETS,
    AWS_REGION: 'eu-central-1',
    AWS_ENDPOINT_URL_SSM: store.endpoint,
    ...settings,
  });
  const readKey = (VOD_SECRET_KEY_PARAMETER: string, AWS_ENDPOINT_URL_SSM = store.endpoint) =>
    vodSecrets(withStore({ VOD_SECRET_KEY_PARAMETER, AWS_ENDPOINT_URL_SSM }));

  test.each([
    ['an ID and a key', {}, {}],
    ['a token', { VOD_TOKEN: 'token-4713' }, { token: 'token-4713' }],
    ['an empty token', { VOD_TOKEN: '' }, {}],
    ['empty names of parameters', { VOD_SECRET_ID_PARAMETER: '', VOD_SECRET_KEY_PARAMETER: '' }, {}],
  ])('reads the environment: %s', async (_, settings, more) => {
    expect(await vodSecrets({ ...SECRETS, ...settings })).toEqual({
      ...{ secretId: 'id-4711', secretKey: 'key-4712' },
      ...more,
    });
    expect(store.requests()).toEqual([]);
  });

  test('prefers decrypted parameters to the environment and reads all with one request', async () => {
    store.set('/stored/id', 'stored-id');
    store.set('/stored/key', 'stored-key');
    store.set('/stored/token', 'stored-token');
    const env = withStore({
      VOD_SECRET_ID_PARAMETER: '/stored/id',
      VOD_SECRET_KEY_PARAMETER: '/stored/key',
      VOD_TOKEN_PARAMETER: '/stored/token',
    });
    const stored = { secretId: 'stored-id', secretKey: 'stored-key', token: 'stored-token' };
    expect([await vodSecrets(env), await vodSecrets(env)]).toEqual([stored, stored]);
    const names = ['/stored/id', '/stored/key', '/stored/token'];
    expect(store.requests().filter(([name]) => name === '/stored/id')).toEqual([names]);
  });

  test('sees a changed parameter after five minutes, not earlier', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    onTestFinished(() => void vi.useRealTimers());
    const keyAfter = async (ms: number) => {
      vi.setSystemTime(Date.now() + ms);
      return (await readKey('/changed/key')).secretKey;
    };
    store.set('/changed/key', 'old');
    expect(await keyAfter(0)).toBe('old');
    store.set('/changed/key', 'new');
    expect([await keyAfter(299_000), await keyAfter(1_001)]).toEqual(['old', 'new']);
  });

  test('retries when the store throttles', async () => {
    accelerateTimers();
    store.reject('/throttled', 400, 'ThrottlingException', 'Rate exceeded');
    store.setNext('/throttled', 'came-through');
    expect(await readKey('/throttled')).toMatchObject({ secretKey: 'came-through' });
  });

  test.each([
    ['throttles', 400, 'ThrottlingException'],
    ['fails', 500, 'InternalServerError'],
  ])('throws SettingUnavailable when the store %s three times', async (_, status, type) => {
    accelerateTimers();
    const name = `/passing/${status}`;
    store.reject(name, status, type, 'later');
    const message = `${name} (setting VOD_SECRET_KEY_PARAMETER): the read failed: ${type}`;
    await expectFailure(readKey(name), 'SettingUnavailable', message);
    expect(store.requests().filter(([asked]) => asked === name)).toHaveLength(3);
  });

  test('throws SettingUnavailable when access is denied, since a changed policy takes effect late', async () => {
    store.reject('/late', 400, 'AccessDeniedException', 'not authorized to perform ssm:GetParameters');
    const message = /\/late \(setting .*not authorized.* If this persists, check the function's policy\./;
    await expectFailure(readKey('/late'), 'SettingUnavailable', message);
    store.set('/late', 'allowed');
    expect(await readKey('/late')).toMatchObject({ secretKey: 'allowed' });
  });

  test('throws InvalidSetting when the key that encrypts a parameter is gone', async () => {
    store.reject('/no-key', 400, 'InvalidKeyId', 'The key is pending deletion');
    await expectFailure(readKey('/no-key'), 'InvalidSetting', 'Check the names and the key');
  });

  test('finds a parameter that was named by its ARN and its version', async () => {
    const arn = 'arn:aws:ssm:eu-central-1:123456789012:parameter/shared';
    const found = { Name: '/shared', ARN: arn, Selector: ':2', Value: 'second' };
    store.respond(`${arn}:2`, 200, JSON.stringify({ Parameters: [found], InvalidParameters: [] }));
    expect(await readKey(`${arn}:2`)).toMatchObject({ secretKey: 'second' });
  });

  test('throws SettingUnavailable when there is no response, or one from a proxy', async () => {
    accelerateTimers();
    await expectFailure(readKey('/unreached', 'http://127.0.0.1:1'), 'SettingUnavailable', 'ECONNREFUSED');
    store.respond('/proxy', 502, '<html>Bad Gateway</html>');
    await expectFailure(readKey('/proxy'), 'SettingUnavailable', 'HTTP 502');
  });

  test.each<[string, Responder]>([
    ['begin', () => {}],
    ['end', (response) => void response.writeHead(200).write('{"Parameters":')],
  ])('stops waiting for a response that does not %s', async (which, silent) => {
    accelerateTimers();
    const { timeout } = AbortSignal;
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout.call(AbortSignal, ms / 25));
    const { endpoint } = await startScriptedServer(silent);
    const message = /the read failed: .*time/i;
    await expectFailure(readKey(`/silent/${which}`, endpoint), 'SettingUnavailable', message);
  });

  test.each(['http://ssm.example.com', 'ssm.example.com', 'ftp://127.0.0.1'])(
    'sends no request to %s, where others can read it',
    async (endpoint) => {
      const message = 'setting AWS_ENDPOINT_URL_SSM: ';
      await expectFailure(readKey('/overheard', endpoint), 'InvalidSetting', message);
    },
  );

  test('requires the region of a parameter', async () => {
    const env = { ...SECRETS, VOD_SECRET_ID_PARAMETER: '/anywhere' };
    const message = 'setting AWS_REGION: expected the region of parameter';
    await expectFailure(vodSecrets(env), 'InvalidSetting', message);
  });

  test('never shows a secret in an error', async () => {
    const anySecret = fc.stringMatching(/^[A-Za-z0-9+/=]{12,40}$/);
    const wrong = fc.constantFrom<Record<string, string>>(
      { VOD_SECRET_ID: '' },
      { VOD_SECRET_KEY: '' },
      { VOD_SECRET_ID_PARAMETER: '/denied' },
      { VOD_SECRET_KEY_PARAMETER: '/denied' },
      { VOD_TOKEN_PARAMETER: '/denied' },
      { VOD_HOST: 'no host' },
      { VOD_ENDPOINT: 'nowhere' },
      { VOD_CLASS_ID: 'seven' },
    );
    store.reject('/denied', 400, 'AccessDeniedException', 'not allowed');
    await fc.assert(
      fc.asyncProperty(fc.tuple(anySecret, anySecret, anySecret), wrong, async (secrets, change) => {
        const [VOD_SECRET_ID, VOD_SECRET_KEY, VOD_TOKEN] = secrets;
        const env = withStore({ VOD_SECRET_ID, VOD_SECRET_KEY, VOD_TOKEN, ...change });
        const start = async () => [uploadSettings(env), await vodSecrets(env)];
        const isDenied = Object.values(change).includes('/denied');
        const error = await expectFailure(start(), isDenied ? 'SettingUnavailable' : 'InvalidSetting');
        for (const secret of secrets) expect(inspect(error, { depth: 9 })).not.toContain(secret);
      }),
    );
  });

  test.each(['VOD_SECRET_ID', 'VOD_SECRET_KEY'])('requires %s and shows no other value', async (name) => {
    const message = `setting ${name}: expected a value, got nothing. Set it, or set ${name}_PARAMETER`;
    for (const value of [undefined, '']) {
      const env = { ...SECRETS, VOD_TOKEN: 'token-4713', [name]: value };
      const error = await expectFailure(vodSecrets(env), 'InvalidSetting', message);
      expect(error.message).not.toMatch(/471\d/);
    }
  });

  test('names the missing parameter and its setting, but no value', async () => {
    store.set('/unread/id', 'stored-id-4714');
    const env = withStore({ VOD_SECRET_ID_PARAMETER: '/unread/id', VOD_SECRET_KEY_PARAMETER: '/unread/key' });
    const message =
      'parameter /unread/key (setting VOD_SECRET_KEY_PARAMETER): expected a parameter in eu-central-1, got none';
    const error = await expectFailure(vodSecrets(env), 'InvalidSetting', message);
    expect(inspect(error, { depth: 9 })).not.toMatch(/471\d/);
    store.set('/unread/key', 'stored-key');
    expect(await vodSecrets(env)).toEqual({ secretId: 'stored-id-4714', secretKey: 'stored-key' });
  });

  test.each(['', undefined])('treats a parameter with the value %j as missing', async (Value) => {
    const name = `/empty/${String(Value)}`;
    store.set(name, Value);
    const env = withStore({ VOD_SECRET_KEY: '', VOD_SECRET_KEY_PARAMETER: name });
    await expectFailure(vodSecrets(env), 'InvalidSetting', 'VOD_SECRET_KEY');
  });
});
