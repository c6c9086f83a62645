/**
 * Changes of a running engine's options. What containers were made with stays theirs; what is host-wide
 * changes for all of them, in one transaction of the driver. Either everything is in force afterwards or
 * nothing.
 */
import { isWardenError, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { type Engine, networkSpecOf } from './engine.ts';
import { foreignNetworks } from './foreign-networks.ts';
import { nextTurn } from './next-turn.ts';
import type { CoreChanges, CoreOptions, NumberRange } from './options.ts';
import { unlessAborted } from './unless-aborted.ts';

/**
 * Errors: `INVALID_SPEC` for a pool that does not hold everything it held; `ABORTED` while containers are
 * waited for; the network driver's.
 */
export async function reconfigure(engine: Engine, changes: CoreChanges, signal?: AbortSignal): Promise<void> {
  const before = engine.options;
  const after: CoreOptions = {
    ...before,
    ...changes,
    network: { ...before.network, ...changes.network },
  };
  // the subordinate ids of living containers are counted from the first uid
  requireSame('user.pool_start_uid', before.uids.first, after.uids.first);
  requireWithin('user.pool_size', before.uids, after.uids);
  requireWithin('port.pool_start_port and port.pool_size', before.ports, after.ports);
  const grow = engine.pools.extension(after);
  const isNetworkNew = hostSpecText(before) !== hostSpecText(after);
  const foreign = isNetworkNew ? await setUpNetwork(engine, { before, after, signal }) : [];
  engine.options = after;
  grow();
  for (const base of foreign) engine.pools.networks.withdraw(base);
  engine.warm.fit();
}

/** Answers the first addresses of blocks of a new pool that others have. */
async function setUpNetwork(
  engine: Engine,
  {
    before,
    after,
    signal,
  }: { readonly before: CoreOptions; readonly after: CoreOptions; readonly signal: AbortSignal | undefined },
): Promise<readonly number[]> {
  const { network } = engine.drivers;
  const isPoolNew = before.network.pool !== after.network.pool;
  engine.options = { ...before, network: after.network }; // rules that are lost from here on are put back as these
  try {
    await network.setup(hostSpec(after));
    // what a container may reach leaves the pool out: as long as nobody has a new address, the rules can be made anew
    if (!isPoolNew) return [];
    const results = await unlessAborted(renewAllRules(engine), signal, givenUp);
    const failed = results.find(({ error }) => error !== undefined);
    if (failed !== undefined) throw failed.error;
    return await foreignNetworks(engine);
  } catch (error) {
    engine.options = before;
    await network.setup(hostSpec(before));
    // some have been made anew already
    if (isPoolNew) void putBackRules(engine);
    throw error;
  }
}

function givenUp(cause: unknown): WardenError {
  return new WardenError('ABORTED', 'the caller gave up waiting for the containers', {
    cause,
    fields: { operation: 'reconfigure' },
  });
}

interface Renewal {
  readonly container: ManagedContainer;
  /** `undefined`: its rules are in force. */
  readonly error: unknown;
}

/** So many begin in one turn of the loop: the driver puts those in force together. */
const TOGETHER = 16;

/** Puts the rules of all containers in force again; one that is at something makes no other wait. Never rejects. */
async function renewAllRules(engine: Engine): Promise<readonly Renewal[]> {
  const renewals: Promise<Renewal>[] = [];
  for (const container of [...engine.containers.values()]) {
    renewals.push(
      renewRules(engine, container).then(
        () => ({ container, error: undefined }),
        (error: unknown) => ({ container, error }),
      ),
    );
    if (renewals.length % TOGETHER === 0) await nextTurn();
  }
  return Promise.all(renewals);
}

/** As {@link renewAllRules}, for those who do not wait for it: a container may be at something for long. */
export async function putBackRules(engine: Engine): Promise<void> {
  const results = await renewAllRules(engine);
  for (const { container, error } of results) {
    if (error === undefined) continue;
    engine.logger.error('rules-of-container-not-put-back', {
      ...{ id: container.record.id, handle: container.handle, error },
      advice: 'it is denied everything; restart the daemon, or destroy the container',
    });
  }
  const containers = results.filter(({ error }) => error === undefined).length;
  engine.logger.warn('rules-put-back', { containers });
}

/**
 * Puts the recorded rules of a container in force again; of one that is on its way out, or has lost its init
 * and with it its link, nothing. Errors: the network driver's.
 */
async function renewRules(engine: Engine, container: ManagedContainer): Promise<void> {
  const { record } = container;
  try {
    await container.exclusive(async () => {
      if (engine.isClosing) return; // the next daemon does it
      if (record.isDestroying || container.isInitLost) return;
      const { mappings, egress, bandwidth } = record;
      await engine.drivers.network.restore(networkSpecOf(engine, container), record.drivers.network, {
        mappings,
        egress,
        ...(bandwidth ? { bandwidth } : {}),
      });
    });
  } catch (error) {
    // it was on its way out
    if (!container.isDestroyed && !isWardenError(error, 'UNKNOWN_HANDLE')) throw error;
  }
}

/** What the network driver's set-up takes. */
export function hostSpec({ network }: CoreOptions): Parameters<Engine['drivers']['network']['setup']>[0] {
  const { pool, allowNetworks, denyNetworks, allowHostAccess, maxConnections } = network;
  const { dnsServers, resolverServers = [] } = network;
  const nameServers = resolverServers.length > 0 ? resolverServers : dnsServers;
  return { pool, allowNetworks, denyNetworks, allowHostAccess, maxConnections, nameServers };
}

function hostSpecText(options: CoreOptions): string {
  return JSON.stringify(hostSpec(options));
}

function requireSame(what: string, before: number, after: number): void {
  if (before === after) return;
  throw new WardenError(
    'INVALID_SPEC',
    `${what} cannot be changed while containers live: ${before} to ${after}`,
    {
      fields: { operation: 'reconfigure', object: what },
    },
  );
}

function requireWithin(what: string, before: NumberRange, after: NumberRange): void {
  if (after.first <= before.first && after.first + after.count >= before.first + before.count) return;
  const text = ({ first, count }: NumberRange): string => `${first} to ${first + count - 1}`;
  throw new WardenError(
    'INVALID_SPEC',
    `${what}: a pool can only grow while the daemon runs: ${text(after)} does not hold ${text(before)}`,
    { fields: { operation: 'reconfigure', object: what } },
  );
}
