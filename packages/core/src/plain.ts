/**
 * What is different for containers without isolation (spec behaviour.md 16): they have the host's network and
 * no limits, so that a port is only a number to agree on, and nothing can be allowed, limited or measured.
 */
import { type ContainerState, type PortMapping, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, saveRecord, trySave } from './engine.ts';

/** Whether containers of this engine are plain processes. */
export function isPlain({ drivers }: Engine): boolean {
  return !drivers.init.supports.isolation;
}

/** Errors: `BAD_STATE` first, then `UNSUPPORTED` with the original's text. */
export function requireIsolation(
  engine: Engine,
  container: ManagedContainer,
  operation: string,
  ...allowed: readonly ContainerState[]
): void {
  container.requireState(...allowed);
  if (!isPlain(engine)) return;
  throw new WardenError('UNSUPPORTED', 'not implemented', {
    fields: { operation, handle: container.handle, driver: engine.drivers.init.name },
  });
}

/**
 * A port of the pool that is the container's until it is destroyed; both sides have the same number, whatever
 * was asked for.
 */
export function handOutPort(engine: Engine, container: ManagedContainer): Promise<PortMapping> {
  container.requireState('active');
  return container.exclusive(async () => {
    container.requireState('active');
    const port = engine.pools.acquirePort();
    container.record.ports.add(port);
    try {
      saveRecord(engine, container);
    } catch (error) {
      container.record.ports.delete(port);
      engine.pools.ports.release(port);
      trySave(engine, container);
      throw error;
    }
    return { hostPort: port, containerPort: port };
  });
}
