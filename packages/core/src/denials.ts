/** What containers were kept from, for subscribers and for the log. */
import type { NetworkDenial } from '@warden/interface';
import { type Engine, publish } from './engine.ts';

/** Has the network driver tell of it, if it can. */
export function reportDenials(engine: Engine): void {
  engine.drivers.network.watchDenials?.((denials) => {
    for (const denial of denials) report(engine, denial);
  });
}

function report(engine: Engine, { id, ...denial }: NetworkDenial): void {
  if (engine.isClosing) return;
  for (const container of engine.containers.values()) {
    if (container.record.id !== id) continue;
    engine.logger.info('network-denied', { handle: container.handle, ...denial });
    publish(engine, container, { type: 'network-denied', ...denial });
    return;
  }
}
