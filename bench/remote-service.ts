import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { GC_FLAGS } from '../lib/upload/gc-tuning.ts';
import { profileFlags } from './flags.ts';
import type { FromService, ServiceOptions, ServiceTally, ToService } from './service.ts';

/** A service at the far end of a modelled network, as the process that measures sees it. */
export type RemoteService = Readonly<{
  endpoint: string;
  tally(): Promise<ServiceTally>;
  close(): Promise<void>;
}>;

export async function startRemoteService(
  options: ServiceOptions,
  onEvent: (event: unknown) => void = () => {},
): Promise<RemoteService> {
  const child = fork(new URL('service.ts', import.meta.url), [JSON.stringify(options)], {
    execArgv: [...GC_FLAGS, ...profileFlags(`${options.kind}-service`)],
  });
  const send = (message: ToService): void => void child.send(message);
  const ready = Promise.withResolvers<string>();
  let tallied = Promise.withResolvers<ServiceTally>();
  child.on('message', (message: FromService) => {
    if ('ready' in message) ready.resolve(message.ready);
    else if ('tally' in message) tallied.resolve(message.tally);
    else {
      onEvent(message.event);
      send({ taken: message.id });
    }
  });
  const gone = exitOf(child).then(() => {
    throw new Error(`the ${options.kind} service ended`);
  });
  gone.catch(() => {});
  return {
    endpoint: await Promise.race([ready.promise, gone]),
    tally: () => {
      tallied = Promise.withResolvers();
      send('tally');
      return Promise.race([tallied.promise, gone]);
    },
    close: async () => {
      child.disconnect();
      await exitOf(child);
    },
  };
}

const exitOf = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode === null) await once(child, 'exit');
};
