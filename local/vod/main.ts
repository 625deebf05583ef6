import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { startVod, type Vod } from './server.ts';

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

const wholeNumber = (most: number) => {
  const expected = `a whole number from 0 to ${most}`;
  return v.pipe(v.string(), v.regex(/^\d{1,9}$/, expected), v.transform(Number), v.maxValue(most, expected));
};

const Options = v.object({
  port: wholeNumber(65_535),
  data: v.pipe(v.string(), v.nonEmpty('a folder')),
  latency: v.optional(wholeNumber(600_000), '0'),
  'no-quota': v.optional(v.boolean(), false),
});

function readOptions(): v.InferOutput<typeof Options> | 'help' {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      data: { type: 'string' },
      latency: { type: 'string' },
      'no-quota': { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  const options = v.safeParse(Options, values);
  if (options.success) return options.output;
  const [issue] = options.issues;
  const wrong = issue.type === 'object' ? 'missing' : `expected ${issue.message}, got ${issue.received}`;
  throw new Error(`--${v.getDotPath(issue)}: ${wrong} (--help tells more)`);
}

async function run(): Promise<void> {
  const options = readOptions();
  if (options === 'help') {
    process.stdout.write(USAGE);
    return;
  }
  const { VOD_SECRET_ID: secretId, VOD_SECRET_KEY: secretKey, VOD_HOST: host } = process.env;
  const secrets = { secretId: secretId || 'local-id', secretKey: secretKey || 'local-key' };
  const signedHost = host || 'vod2.qcloud.com';
  const vod = await startVod({
    dir: options.data,
    port: options.port,
    link: { latencyMs: options.latency },
    ...(options['no-quota'] && { quota: false }),
    secrets,
    signedHost,
  });
  stopOnSignal(vod);
  process.stdout.write(
    [
      `VOD service  ${vod.endpoint}/v2/index.php`,
      `sign for     ${signedHost}`,
      `SecretId     ${secrets.secretId}`,
      `SecretKey    ${secretKey ? 'as VOD_SECRET_KEY says' : 'the default; VOD_SECRET_KEY sets another'}`,
      `files        ${options.data}/files, listed in ${options.data}/index.json`,
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
