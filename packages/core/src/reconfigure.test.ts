/** Rules that are put in force anew while a container is at something that takes its time. */
import {
  type Container,
  type NetworkDriver,
  type NetworkHostSpec,
  silentLogger,
  WardenError,
} from '@warden/interface';
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
/** What it is at. */
let busy: Promise<unknown>;
/** Those whose rules cannot be put back. */
const refused = new Set<string>();

const foreign = vi.fn(async (): Promise<readonly string[]> => []);
const release = vi.fn<NetworkDriver['release']>();

beforeEach(async () => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
  const drivers = host.drivers();
  release.mockImplementation((...of) => drivers.network.release(...of));
  const network: NetworkDriver = {
    ...drivers.network,
    watchRules: (listener) => {
      miss = listener;
    },
    setup: async (spec: NetworkHostSpec) => void done.push(spec.pool),
    release: (...of) => release(...of),
    foreignAddresses: () => foreign(),
    restore: async ({ containerIp }, _state, { egress }) => {
      if (refused.has(containerIp)) throw new WardenError('NATIVE_FAILED', `${containerIp} is gone`);
      done.push([containerIp, ...egress.map(() => 'ruled')].join(' '));
    },
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
  busy = first.limitCpu(100n).catch(() => {});
  done.length = 0;
  logged.length = 0;
  refused.clear();
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
    // those that are another's already become what they were
    await seen(NETWORK.pool, '10.254.0.6');
  });

  it('that were made anew for a pool that is refused in the end are made anew for the one there is', async () => {
    goOn();
    await busy;
    refused.add('10.254.0.6');
    await expect(core.reconfigure(LARGER)).rejects.toThrow('10.254.0.6 is gone');
    await seen(LARGER.network.pool, '10.254.0.2', NETWORK.pool, '10.254.0.2');
    await vi.waitFor(() => expect(logged).toEqual(['rules-of-container-not-put-back', 'rules-put-back']));
    refused.clear();
    await core.reconfigure(LARGER);
  });

  it('whose addresses on the host cannot be listed are those of the pool there was', async () => {
    goOn();
    await busy;
    foreign.mockRejectedValueOnce(new Error('no netlink'));
    await expect(core.reconfigure(LARGER)).rejects.toThrow('no netlink');
    await seen(LARGER.network.pool, '10.254.0.2', '10.254.0.6', NETWORK.pool, '10.254.0.2', '10.254.0.6');
    miss();
    await seen(NETWORK.pool, '10.254.0.2', '10.254.0.6');
  });

  it.each(['has lost its init', 'could not be destroyed'])(
    'that %s are nobody’s, and in no way of another pool',
    async (what) => {
      goOn();
      await busy;
      const { containerPath } = await first.info();
      if (what.startsWith('has')) {
        await (await host.inits({ logger: silentLogger }).connect(containerPath!))!.kill();
        await vi.waitFor(() => expect(logged).toContain('init-lost'), SOON);
      } else {
        release.mockRejectedValueOnce(new Error('busy'));
        await expect(first.destroy()).rejects.toThrow('busy');
      }
      refused.add('10.254.0.2');
      await core.reconfigure(LARGER);
      await seen(LARGER.network.pool, '10.254.0.6');
    },
  );
});
