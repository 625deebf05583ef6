import { expectNone, parseInteger, readOptions, UsageError } from '../../cli/args.ts';
import { startVod, type Vod, type VodOptions } from './server.ts';

const USAGE = `The VOD service on one machine: takes uploads as vod2.qcloud.com does.

  npm run vod -- --port N --data DIR [--latency MS] [--no-quota]

  --port N       where to listen on 127.0.0.1; 0: any free port
  --data DIR     where to keep what is uploaded: DIR/files, listed in DIR/index.json
  --latency MS   wait this long before each reply
  --no-quota     without the limits of 100 Init, 100 Finish and 10,000 parts a minute
  --help         this text

  VOD_SECRET_ID, VOD_SECRET_KEY   what clients sign with; local-id and local-key unless set
  VOD_HOST                        the host that clients sign for; vod2.qcloud.com unless set
`;

/** Nothing is lost when the process ends in the middle of a long FinishUpload, so nobody waits for its end. */
const LONGEST_GOODBYE_MS = 2_000;

const OPTIONS = {
  port: { type: 'string' },
  data: { type: 'string' },
  latency: { type: 'string', default: '0' },
  'no-quota': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

type Given = Pick<VodOptions, 'port' | 'dir' | 'network' | 'quota'>;

function readArguments(argv: readonly string[]): Given | 'help' {
  const { values, positionals } = readOptions('npm run vod', argv, OPTIONS);
  if (values.help) return 'help';
  expectNone(positionals);
  const { port, data, latency, 'no-quota': noQuota } = values;
  if (!port || !data) throw new UsageError(`--${port ? 'data' : 'port'} is missing`);
  return {
    port: parseInteger('--port', port, 0, 65_535),
    dir: data,
    network: { latencyMs: parseInteger('--latency', latency, 0, 600_000) },
    ...(noQuota && { quota: false }),
  };
}

async function run(): Promise<void> {
  const given = readArguments(process.argv.slice(2));
  if (given === 'help') {
    process.stdout.write(USAGE);
    return;
  }
  const { VOD_SECRET_ID: secretId, VOD_SECRET_KEY: secretKey, VOD_HOST: host } = process.env;
  const secrets = { secretId: secretId || 'local-id', secretKey: secretKey || 'local-key' };
  const signedHost = host || 'vod2.qcloud.com';
  const vod = await startVod({ ...given, secrets, signedHost });
  stopOnSignal(vod);
  process.stdout.write(
    [
      `VOD service  ${vod.endpoint}/v2/index.php`,
      `sign for     ${signedHost}`,
      `SecretId     ${secrets.secretId}`,
      `SecretKey    ${secretKey ? 'as VOD_SECRET_KEY says' : 'the default; VOD_SECRET_KEY sets another'}`,
      `files        ${given.dir}/files, listed in ${given.dir}/index.json`,
      '',
    ].join('\n'),
  );
}

/** On every signal, not only the first: npm passes on the Ctrl-C that the terminal has sent already. */
function stopOnSignal(vod: Vod): void {
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(0), LONGEST_GOODBYE_MS).unref();
    await vod.close();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

function inOneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && error.code === 'EADDRINUSE' && 'port' in error)
    return `--port: ${error.port} is in use`;
  return error.message.split('\n')[0] ?? '';
}

run().catch((error: unknown) => {
  process.stderr.write(`vod: ${inOneLine(error)}\n`);
  process.exitCode = 1;
});
