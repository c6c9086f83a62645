/** Rules that are put in force anew while a container is at something that takes its time. */
import { type Container, type NetworkDriver, type NetworkHostSpec, silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EMPTY, NETWORK, TestHost } from '../test/host.ts';
import type { Core } from './index.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };
const LARGER = { network: { ...NETWORK, pool: '10.254.0.0/23' } };

let host: TestHost;
let core: Core;
/** Pools of set-ups, and addresses of containers whose rules were put back. */
const done: string[] = [];
const logged: string[] = [];
let first: Container;
let miss: () => void;
/** Lets the first container, whose turn it is, go on. */
let goOn: () => void;

beforeEach(async () => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
  const drivers = host.drivers();
  const network: NetworkDriver = {
    ...drivers.network,
    watchRules: (listener) => {
      miss = listener;
    },
    setup: async (spec: NetworkHostSpec) => void done.push(spec.pool),
    restore: async ({ containerIp }, _state, { egress }) =>
      void done.push([containerIp, ...egress.map(() => 'ruled')].join(' ')),
  };
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const setCpuShares: typeof drivers.cgroup.setCpuShares = async (_state, shares) => {
    await held;
    return shares;
  };
  const log = (event: string): number => logged.push(event);
  core = await host.start({
    drivers: { ...drivers, network, cgroup: { ...drivers.cgroup, setCpuShares } },
    logger: { ...silentLogger, warn: log, error: log },
  });
  const session = core.openSession();
  first = await session.create();
  await session.create();
  first.limitCpu(100n).catch(() => {});
  done.length = 0;
  logged.length = 0;
});
afterEach(async () => {
  goOn();
  for (const handle of await core.openSession().list()) await core.openSession().container(handle).destroy();
  expect(host.inventory()).toEqual(EMPTY);
  await core.close();
  host.remove();
});

/** Waits for these, and forgets them. */
async function seen(...expected: readonly string[]): Promise<void> {
  await vi.waitFor(() => expect(done).toEqual(expected), SOON);
  done.length = 0;
}

describe('rules of a container', () => {
  it('that were lost are put back although another one is busy, as often as they are lost', async () => {
    miss();
    await seen(NETWORK.pool, '10.254.0.6');
    miss();
    await seen(NETWORK.pool, '10.254.0.6');
    goOn();
    await seen('10.254.0.2', '10.254.0.2');
    await vi.waitFor(() => expect(logged).toEqual(['rules-put-back', 'rules-put-back']), SOON);
  });

  it('are those that it has when it is its turn', async () => {
    const allowed = first.netOut({ network: '198.51.100.0/24' });
    miss();
    await seen(NETWORK.pool, '10.254.0.6');
    goOn();
    await allowed;
    await seen('10.254.0.2 ruled');
  });

  it('are made anew for another pool although another one is busy, and when they are lost meanwhile, for that', async () => {
    const changed = core.reconfigure(LARGER);
    await seen(LARGER.network.pool, '10.254.0.6');
    miss();
    await seen(LARGER.network.pool, '10.254.0.6');
    goOn();
    await changed;
  });

  it('are waited for until the caller gives up: nothing has changed then', async () => {
    const giveUp = new AbortController();
    const changed = core.reconfigure(LARGER, giveUp.signal);
    changed.catch(() => {});
    await seen(LARGER.network.pool, '10.254.0.6');
    giveUp.abort();
    await expect(changed).rejects.toMatchObject({ code: 'ABORTED' });
    expect(done.splice(0)).toEqual([NETWORK.pool]);
    miss();
    await seen(NETWORK.pool, '10.254.0.6');
  });
});
