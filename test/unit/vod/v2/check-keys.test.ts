import { expect, test } from 'vitest';
import { whyKeysAreRejected } from '../../../../lib/vod/v2/check-keys.ts';
import { startScriptedServer } from '../../../support/scripted-server.ts';
import { never } from '../../../support/values.ts';
import { respond } from '../../../support/vod-account.ts';
import { HOST, SECRETS } from '../../../support/vod-client.ts';
import { startService } from '../../../support/vod-service.ts';

const check = (endpoint: string, secrets: { secretId: string; secretKey: string } = SECRETS) =>
  whyKeysAreRejected(
    { endpoint: new URL('/v2/index.php', endpoint), host: HOST, region: 'gz', secrets },
    never,
  );

test('accepts the keys of the account, and leaves nothing behind', async () => {
  const { vod } = await startService();
  expect(await check(vod.endpoint)).toBe(undefined);
  expect(vod.files()).toEqual([]);
});

test.each([
  [
    'a wrong key',
    { ...SECRETS, secretKey: 'another-4711' },
    /^code -10002 .*signature is wrong\. Check VOD_SECRET_KEY/,
  ],
  ['an unknown account', { ...SECRETS, secretId: 'unknown' }, /^code 4100 .*account is unknown/],
])('rejects %s', async (_, secrets, reason) => {
  const { vod } = await startService();
  const text = await check(vod.endpoint, secrets);
  expect(text).toMatch(reason);
  expect(text).not.toContain(secrets.secretKey);
});

test.each([
  [-10003, true],
  [4000, true],
  [5000, true],
  [-10001, false],
  [4300, false],
  [4400, false],
  [4500, false],
  [6000, false],
])('code %i: accepted is %s', async (code, isAccepted) => {
  const { endpoint } = await startScriptedServer(respond({ code }));
  expect((await check(endpoint)) === undefined).toBe(isAccepted);
});
