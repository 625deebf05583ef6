import { explainPortInUse } from '../../cli/errors.ts';
import { runMain } from '../../cli/run-main.ts';
import { createStopSignal } from '../../cli/signals.ts';
import { printUsage } from '../../cli/usage.ts';
import { readVodArguments, VOD } from './args.ts';
import { startVod } from './server.ts';

/** A long FinishUpload may take more than this. A killed one can be repeated, so nothing is lost. */
const STOP_MS = 2_000;

async function main(argv: readonly string[]): Promise<number> {
  const args = readVodArguments(argv);
  if (args === 'help') return printUsage(VOD);
  const { VOD_SECRET_ID: secretId, VOD_SECRET_KEY: secretKey, VOD_HOST: host } = process.env;
  const subAppId = process.env.VOD_SUB_APP_ID ? Number(process.env.VOD_SUB_APP_ID) : undefined;
  const secrets = { secretId: secretId || 'local-id', secretKey: secretKey || 'local-key' };
  const signedHost = host || 'vod2.qcloud.com';
  const vod = await startVod({ ...args, secrets, signedHost, subAppId }).catch(explainPortInUse('--port'));
  createStopSignal({ graceMs: STOP_MS, exitCode: 0 }).addEventListener('abort', () => void vod.close());
  process.stdout.write(
    [
      `VOD service  ${vod.endpoint}/v2/index.php`,
      `2018-07-17   ${vod.endpoint}/`,
      `COS          ${vod.cosEndpoint}`,
      `sign for     ${signedHost}`,
      `SecretId     ${secrets.secretId}`,
      `SecretKey    ${secretKey ? 'from VOD_SECRET_KEY' : 'the default; set VOD_SECRET_KEY to change it'}`,
      `files        ${args.dir}/files, listed in ${args.dir}/index.json`,
      '',
    ].join('\n'),
  );
  return 0;
}

await runMain(main);
