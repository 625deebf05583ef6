import { type CommandDefinition, flag, integer, parseCommand, text } from '../../cli/args.ts';

export const VOD = {
  name: 'npm run vod',
  summary:
    'Runs the VOD service on this machine. It accepts uploads as Tencent Cloud VOD does, with both APIs.',
  arguments: [],
  options: {
    port: integer('N', 'Port on 127.0.0.1; 0 selects a free port', { min: 0, max: 65_535, isRequired: true }),
    'cos-port': integer('N', 'Port of COS; 0 selects a free port', { min: 0, max: 65_535, default: 0 }),
    data: text('DIR', 'Folder for uploads: DIR/files, listed in DIR/index.json', { isRequired: true }),
    latency: integer('MS', 'Delay of each response in milliseconds', { min: 0, max: 600_000, default: 0 }),
    'no-quota': flag('Do not limit calls; the defaults are those of VOD and COS'),
  },
  notes:
    'Clients sign with VOD_SECRET_ID and VOD_SECRET_KEY (default: local-id and local-key). API 2.0 signs for the host ' +
    'VOD_HOST (default: vod2.qcloud.com). VOD_SUB_APP_ID makes SubAppId mandatory in API 2018-07-17.',
} as const satisfies CommandDefinition;

/** @throws {UsageError} */
export const readVodArguments = (argv: readonly string[]) =>
  parseCommand(
    VOD,
    argv,
    ({ values: { port, 'cos-port': cosPort, data: dir, latency: latencyMs, 'no-quota': hasNoQuota } }) => ({
      ...{ port, cosPort, dir, network: { latencyMs } },
      ...(hasNoQuota && { quota: false as const }),
    }),
  );
