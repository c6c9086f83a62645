/** How containers come, and what is refused. */
import fs from 'node:fs';
import path from 'node:path';
import { silentLogger, type Warden, WardenError } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { EMPTY, NETWORK, type TestHost } from '../test/host.ts';
import { eachAnew } from '../test/setting.ts';
import { CREATE_FAILPOINTS } from './failpoint-names.ts';
import type { Core } from './index.ts';

let host: TestHost;
let core: Core;
let warden: Warden;

eachAnew(
  (setting) => ({ host, core, warden } = setting),
  () => core,
);

describe('create (spec behaviour.md 5)', () => {
  it('makes what the drivers offer, and destroy removes all of it', async () => {
    const box = await warden.create({ handle: 'mine' });
    expect(await warden.list()).toEqual(['mine']);
    expect(host.inventory()).not.toEqual(EMPTY);
    expect(await box.info()).toMatchObject({
      state: 'active',
      hostIp: '10.254.0.1',
      containerIp: '10.254.0.2',
      jobIds: [],
    });
    await box.destroy();
    expect(host.inventory()).toEqual(EMPTY);
    await expect(box.info()).rejects.toMatchObject({
      code: 'UNKNOWN_HANDLE',
      message: 'unknown handle',
      fields: { operation: 'find container', object: box.handle, handle: box.handle },
    });
  });

  it.each(CREATE_FAILPOINTS)('leaves nothing when it fails at %s, and can be repeated', async (name) => {
    await core.close();
    vi.stubEnv('WARDEN_FAILPOINT', `${name}=error`);
    core = await host.start({
      uids: { first: 10_000, count: 1 },
      network: { ...NETWORK, pool: '10.254.0.0/30' },
    });
    const session = core.openSession();
    for (let round = 0; round < 3; round++) {
      await expect(session.create({ handle: 'never' })).rejects.toMatchObject({
        message: `failpoint ${name}`,
      });
      expect(host.inventory()).toEqual(EMPTY);
      expect(await session.list()).toEqual([]);
    }
  });

  it.each([
    ['network', { network: { ...NETWORK, pool: '10.254.0.0/29' } }],
    ['uid', { uids: { first: 10_000, count: 2 } }],
  ])(
    'that cannot be undone keeps its record, and its %s from others, until the next daemon',
    async (pool, over) => {
      await core.close();
      vi.stubEnv('WARDEN_FAILPOINT', '1*create.proceed=error');
      const drivers = host.drivers();
      const refused = new WardenError('NATIVE_FAILED', 'the link is in use');
      const release = vi.fn(drivers.network.release).mockRejectedValueOnce(refused);
      const error = vi.fn();
      core = await host.start({
        drivers: { ...drivers, network: { ...drivers.network, release } },
        logger: { ...silentLogger, error },
        ...over,
      });
      const session = core.openSession();
      await expect(session.create({ handle: 'box' })).rejects.toMatchObject({
        message: 'failpoint create.proceed',
        suppressed: [refused],
      });
      expect(error).toHaveBeenCalledWith(
        'undo-failed',
        expect.objectContaining({ handle: 'box', error: refused }),
      );
      const box = await session.create({ handle: 'box' });
      expect(fs.readdirSync(host.depot)).toHaveLength(2);
      await expect(session.create()).rejects.toMatchObject({
        code: 'POOL_EXHAUSTED',
        fields: { pool, limit: 2 },
      });
      await core.close();
      vi.unstubAllEnvs();
      core = await host.start(over);
      await (await core.openSession().create()).destroy();
      expect([await core.openSession().list(), fs.readdirSync(host.depot)]).toEqual([
        ['box'],
        [path.basename((await box.info()).containerPath!)],
      ]);
    },
  );

  it('refuses by the specified texts before anything is taken', async () => {
    await warden.create({ handle: 'taken' });
    const cases: [Parameters<Warden['create']>[0], string, string][] = [
      [{ handle: 'taken' }, 'ALREADY_EXISTS', 'container with handle: taken already exists.'],
      [{ rootfs: '/nonexistent' }, 'INVALID_SPEC', 'rootfs /nonexistent not found'],
      [
        { bindMounts: [{ source: '/nonexistent', target: '/x', mode: 'ro' }] },
        'INVALID_SPEC',
        'Source path for bind mount does not exist: /nonexistent',
      ],
      [{ bindMounts: [{ source: '/tmp', target: '/x', mode: '2' as 'ro' }] }, 'INVALID_SPEC', 'Unknown mode'],
      [
        { bindMounts: [{ source: '/tmp', target: '/../', mode: 'ro' }] },
        'INVALID_SPEC',
        'target path of a bind mount must be absolute and not the root: /../',
      ],
      [
        { bindMounts: [{ source: '/tmp', target: '/x\0/y', mode: 'ro' }] },
        'INVALID_SPEC',
        'target path of a bind mount holds a NUL byte',
      ],
      [{ network: '1.1.1.1' }, 'INVALID_SPEC', 'Could not acquire network: 1.1.1.0'],
      [{ network: '1.1.1.999' }, 'INVALID_SPEC', 'invalid address: 1.1.1.999'],
    ];
    for (const [spec, code, message] of cases)
      await expect(warden.create(spec)).rejects.toMatchObject({ code, message });
    expect(await warden.list()).toEqual(['taken']);
  });

  it('reserves the handle: of two at the same time one wins', async () => {
    const results = await Promise.allSettled([
      warden.create({ handle: 'same' }),
      warden.create({ handle: 'same' }),
    ]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(await warden.list()).toEqual(['same']);
  });

  it('takes the wanted network and gives it back', async () => {
    const box = await warden.create({ network: '10.254.0.10' });
    expect(await box.info()).toMatchObject({ hostIp: '10.254.0.9', containerIp: '10.254.0.10' });
    await expect(warden.create({ network: '10.254.0.8' })).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
    await box.destroy();
    await (await warden.create({ network: '10.254.0.8' })).destroy();
  });

  it('says which pool is empty', async () => {
    await core.close();
    core = await host.start({ uids: { first: 10_000, count: 1 } });
    const session = core.openSession();
    await session.create();
    await expect(session.create()).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: 'no uid available',
      fields: { pool: 'uid', used: 1, limit: 1 },
    });
  });

  it('survives many at the same time', async () => {
    const boxes = await Promise.all(Array.from({ length: 16 }, () => warden.create()));
    expect(
      new Set((await Promise.all(boxes.map((box) => box.info()))).map(({ containerIp }) => containerIp)).size,
    ).toBe(16);
    await Promise.all(boxes.map((box) => box.destroy()));
    expect(host.inventory()).toEqual(EMPTY);
  });
});

describe('what a client chooses', () => {
  it('cannot take the place of a container by guessing the next id', async () => {
    const first = await warden.create();
    const next = (handle: string): string => {
      let value = 0n;
      for (const digit of handle) value = value * 32n + BigInt(Number.parseInt(digit, 32));
      return (value + 2n).toString(32).padStart(11, '0');
    };
    const named = await warden.create({ handle: next(first.handle) });
    const others = [await warden.create(), await warden.create()];
    expect(new Set([first, named, ...others].map(({ handle }) => handle)).size).toBe(4);
    expect(await warden.list()).toHaveLength(4);
  });
});
