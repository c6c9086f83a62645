/** What a stop does when what it asks fails. */
import { silentLogger } from '@warden/interface';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { TestHost } from '../test/host.ts';
import type { Core } from './index.ts';

let host: TestHost;
let core: Core | undefined;

beforeEach(() => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
});
afterEach(async () => {
  await core?.close();
  host.remove();
});

it('ends the processes where it cannot look for out-of-memory kills, as without a free descriptor', async () => {
  const drivers = host.drivers();
  const check = vi.fn((): void => {
    throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
  });
  const warn = vi.fn();
  core = await host.start({
    logger: { ...silentLogger, warn, child: () => ({ ...silentLogger, warn }) },
    drivers: {
      ...drivers,
      cgroup: {
        ...drivers.cgroup,
        watchOutOfMemory: async (...what) => ({ ...(await drivers.cgroup.watchOutOfMemory(...what)), check }),
      },
    },
  });
  const container = await core.openSession().create({ handle: 'box' });
  await container.limitMemory(64n << 20n);
  const job = await container.spawn('sleep');
  await container.stop();
  expect(check).toHaveBeenCalled();
  expect(await job.link()).toMatchObject({ verdict: { reason: 'container-stopped' } });
  expect((await container.info()).state).toBe('stopped');
  expect(warn).toHaveBeenCalledWith('out-of-memory-check-failed', expect.objectContaining({ handle: 'box' }));
});
