import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { closeDescriptor, lockFile } from '@warden/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Configuration, checkConfiguration } from './config.ts';
import { lockName, type NameLock } from './name-lock.ts';
import { claimPools, overlaps, type PoolClaim } from './pool-claims.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-claims-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const configured = (given: object): Configuration => checkConfiguration(given);
/** So that of all pools only what a test is about can meet. */
const APART = {
  network: { pool_network: '10.1.0.0/24' },
  port: { pool_start_port: 40_000, pool_size: 1_000 },
  user: { pool_start_uid: 50_000, pool_size: 16 },
  security: { subordinate_ids: 1_000_000_000 },
};
const locks: NameLock[] = [];
afterEach(() => {
  for (const lock of locks.splice(0)) lock.release();
});

const start = async (
  name: string,
  given: object,
): Promise<{ lock: NameLock; warnings: string[]; claim(given: object): Promise<void> }> => {
  const lock = await lockName(name, directory);
  locks.push(lock);
  const warnings: string[] = [];
  const logger = {
    ...silentLogger,
    warn: (event: string, fields: object = {}) =>
      void warnings.push(`${event} ${(fields as { object: string }).object}`),
  };
  const claim = (wanted: object): Promise<void> =>
    claimPools(lock, configured(wanted), { depot: `/depot/${name}`, logger });
  await claim(given);
  return { lock, warnings, claim };
};

describe('the pools of several daemons on one host', () => {
  it('must not have addresses in common', async () => {
    await start('one', {});
    await expect(
      start('two', { ...APART, network: { pool_network: '10.254.2.0/24' } }),
    ).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: `network.pool_network: 10.254.2.0/24 overlaps 10.254.0.0/22 of the running wardend one (pid ${process.pid}, depot /depot/one): containers of both would have the same addresses; configure another network.pool_network, or stop that one`,
    });
  });

  it('must not have addresses in common in the older form either, whose key is named then', async () => {
    await start('one', {});
    const network = { pool_start_address: '10.254.3.128', pool_size: 4 };
    await expect(start('two', { ...APART, network })).rejects.toThrow(
      /^network\.pool_start_address: 10\.254\.3\.128\/28 overlaps .*configure another network\.pool_start_address/,
    );
  });

  it('must not have ports in common', async () => {
    await start('one', { port: { pool_start_port: 40_500, pool_size: 1_000 } });
    await expect(start('two', APART)).rejects.toThrow(
      /^port\.pool_start_port: 40000 to 40999 overlaps 40500 to 41499 of the running wardend one /,
    );
  });

  it('are told when users are in common, which leads no traffic astray', async () => {
    await start('one', {});
    const { warnings } = await start('two', { network: APART.network, port: APART.port });
    expect(warnings).toEqual(['pool-shared user.pool_start_uid', 'pool-shared security.subordinate_ids']);
  });

  it('are told as far as they reach: of users inside, so many for each container', async () => {
    await start('one', APART);
    const at = (first: number, uid: number): object => ({
      drivers: { network: 'none' },
      user: { pool_start_uid: uid, pool_size: 16 },
      security: { subordinate_ids: first },
    });
    const last = 1_000_000_000 + 16 * 65_536 - 1;
    expect((await start('two', at(last, 60_000))).warnings).toEqual(['pool-shared security.subordinate_ids']);
    expect((await start('three', at(last + 16 * 65_536, 61_000))).warnings).toEqual([]);
  });

  it('are noted as they are now, also when there is less to be noted', async () => {
    const one = await start('one', {});
    const noted = (): object => JSON.parse(fs.readFileSync(path.join(directory, 'one.lock'), 'utf8'));
    expect(noted()).toHaveProperty('network');
    await one.claim({ drivers: { network: 'none' } });
    expect(noted()).not.toHaveProperty('network');
    await start('two', { ...APART, network: {}, port: {} });
  });

  it('may lie side by side', async () => {
    await start('one', {});
    expect((await start('two', APART)).warnings).toEqual([]);
  });

  it('are free again when a daemon has ended, however', async () => {
    const { lock } = await start('one', {});
    // what a killed one leaves: the file with its note, and nobody who holds it
    fs.copyFileSync(path.join(directory, 'one.lock'), path.join(directory, 'killed.lock'));
    lock.release();
    await start('two', {});
    // whoever looked holds nothing of it
    locks.push(await lockName('killed', directory));
  });

  it('are looked at again when they grow, and stay as they were when they may not', async () => {
    const one = await start('one', { ...APART, network: { pool_network: '10.1.0.0/25' } });
    await start('two', { network: { pool_network: '10.1.0.128/25' } });
    await expect(one.claim(APART)).rejects.toThrow(/10\.1\.0\.0\/24 overlaps 10\.1\.0\.128\/25/);
    expect(fs.readFileSync(path.join(directory, 'one.lock'), 'utf8')).toContain('"10.1.0.0/25"');
  });

  it('do not matter to a daemon without a network driver', async () => {
    await start('one', {});
    await start('two', { ...APART, network: {}, port: {}, drivers: { network: 'none' } });
  });

  it('may be the same in network namespaces of their own', () => {
    const claim: PoolClaim = {
      pid: 1,
      depot: '/d',
      networkNamespace: '1:1',
      userNamespace: '1:2',
      network: '10.254.0.0/22',
      ports: { first: 61_000, count: 4_001 },
      uids: { first: 10_000, count: 256 },
    };
    const keys = (other: Partial<PoolClaim>): string[] =>
      overlaps(claim, { ...claim, ...other }, configured({})).map(({ key }) => key);
    expect(keys({})).toEqual(['network.pool_network', 'port.pool_start_port', 'user.pool_start_uid']);
    expect(keys({ networkNamespace: '1:3' })).toEqual(['user.pool_start_uid']);
    expect(keys({ userNamespace: '1:3' })).toEqual(['network.pool_network', 'port.pool_start_port']);
  });

  it('are looked at by one daemon after the other: of two that start at once one does', async () => {
    const starts = await Promise.allSettled(['one', 'two', 'three'].map((name) => start(name, {})));
    expect(starts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('the lock of a name', () => {
  it('is one daemon’s, and looking at others takes it from nobody', async () => {
    await start('one', APART);
    await expect(lockName('one', directory)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    const [two, three] = await Promise.all([lockName('two', directory), lockName('three', directory)]);
    locks.push(two, three);
    await two.note((others) => {
      expect(others.map(({ name }) => name).sort()).toEqual(['one', 'three']);
      return '';
    });
  });

  it('says nothing of an earlier owner', async () => {
    fs.writeFileSync(path.join(directory, 'one.lock'), 'of a killed one, and long');
    locks.push(await lockName('one', directory));
    expect(fs.readFileSync(path.join(directory, 'one.lock'), 'utf8')).toBe('');
  });

  it('leaves the file of its turn alone, and takes its turn behind whoever has it', async () => {
    const turn = lockFile(path.join(directory, '.turn'))!;
    const pending = lockName('one', directory);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(fs.existsSync(path.join(directory, 'one.lock'))).toBe(false);
    closeDescriptor(turn);
    locks.push(await pending);
  });
});
