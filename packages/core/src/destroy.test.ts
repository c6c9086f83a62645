/**
 * What a destruction does beside the ordinary: to who outlived init, for the next daemon, and on a disk that
 * is behind.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Container } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EMPTY, TestHost } from '../test/host.ts';
import type { Core } from './index.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

let host: TestHost;
let core: Core;

beforeEach(() => {
  host = new TestHost({ program: async ({ killed }) => ({ signal: await killed }) });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await core.close();
  host.remove();
});

const idOf = async (box: Container): Promise<string> => path.basename((await box.info()).containerPath!);

describe('a destruction', () => {
  it('ends who is in the groups still although init is gone', async () => {
    core = await host.start();
    const box = await core.openSession().create();
    const onEnd = vi.fn();
    host.groups.join(`/core/instance-${await idOf(box)}/cgroup.procs`, { pid: 7, rss: 0n, onEnd });
    await box.destroy();
    expect(onEnd).toHaveBeenCalledOnce();
    expect(host.inventory()).toEqual(EMPTY);
  });

  it.each(['destroy.record', 'destroy.copies', 'destroy.init'])(
    'that got no further than %s is finished by the next daemon, which takes nothing of it over',
    async (name) => {
      vi.stubEnv('WARDEN_FAILPOINT', `${name}=error`);
      core = await host.start();
      const box = await core.openSession().create({ handle: 'box' });
      await expect(box.destroy()).rejects.toThrow(`failpoint ${name}`);
      vi.unstubAllEnvs();
      await core.close();
      core = await host.start();
      expect(await core.openSession().list()).toEqual([]);
      expect(host.inventory()).toEqual(EMPTY);
    },
  );

  it('removes the files before it answers once too many wait to be removed', async () => {
    const drivers = host.drivers();
    const quota = { ...drivers.quota, countsFiles: () => false };
    let goOn = (): void => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const removeTree = async (directory: string): Promise<void> => {
      await held;
      fs.rmSync(directory, { recursive: true });
    };
    core = await host.start({ drivers: { ...drivers, quota }, removeTree });
    const session = core.openSession();
    const aside = (): number => fs.readdirSync(path.join(host.depot, '.removed')).length;
    for (let i = 1; i <= 64; i++) {
      await (await session.create()).destroy();
      expect(aside()).toBe(i);
    }
    const last = await session.create();
    const id = await idOf(last);
    await last.destroy();
    expect([aside(), fs.existsSync(path.join(host.depot, id))]).toEqual([64, false]);
    goOn();
    await vi.waitFor(() => expect(aside()).toBe(0), SOON);
    await (await session.create()).destroy();
    await vi.waitFor(() => expect(host.inventory()).toEqual({ ...EMPTY, depot: ['.removed'] }), SOON);
  });
});
