import { fork } from 'node:child_process';
import { once } from 'node:events';
import { GC_FLAGS } from '../lib/upload/gc-tuning.ts';
import { profileFlags } from './flags.ts';
import type { Endpoints, FromService, ServiceOptions, ServiceTally, ToService } from './messages.ts';

/** A service in another process, behind a simulated network. */
export type RemoteService = Endpoints &
  Readonly<{
    /** Returns what the service counted. */
    stop(): Promise<ServiceTally>;
  }>;

export async function startRemoteService(
  options: ServiceOptions,
  onEvent: (event: unknown) => void = () => {},
): Promise<RemoteService> {
  const child = fork(new URL('service.ts', import.meta.url), [JSON.stringify(options)], {
    execArgv: [...GC_FLAGS, ...profileFlags(`${options.kind}-service`)],
  });
  const send = (message: ToService): void => void child.send(message);
  const ready = Promise.withResolvers<Endpoints>();
  const tally = Promise.withResolvers<ServiceTally>();
  child.on('message', (message: FromService) => {
    if ('ready' in message) ready.resolve(message.ready);
    else if ('tally' in message) tally.resolve(message.tally);
    else {
      onEvent(message.event);
      send({ taken: message.id });
    }
  });
  const exited = once(child, 'exit').then(() => {
    const error = new Error(`the ${options.kind} service exited`);
    ready.reject(error);
    tally.reject(error);
  });
  return {
    ...(await ready.promise),
    stop: async () => {
      send('stop');
      const result = await tally.promise;
      child.disconnect();
      await exited;
      return result;
    },
  };
}
