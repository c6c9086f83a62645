import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkConfiguration } from './config.ts';
import { configCommand, effective } from './config-command.ts';
import { checkOwnLimits } from './own-limits.ts';
import { checkStart } from './start-checks.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-checks-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

/** Nobody else starts a daemon of these. */
const isRoot = process.getuid?.() === 0;

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Places that are good, with these sections over them. */
const settings = (over: Sections = {}): Record<string, Record<string, unknown>> => {
  const base: Sections = {
    server: {
      unix_domain_path: path.join(directory, 'warden.sock'),
      container_depot_path: path.join(directory, 'new/depot'),
      pidfile: path.join(directory, 'pid'),
    },
    monitoring: { socket: path.join(directory, 'monitoring.sock') },
    logging: { file: path.join(directory, 'log') },
  };
  const names = [...new Set([...Object.keys(base), ...Object.keys(over)])];
  return Object.fromEntries(names.map((name) => [name, { ...base[name], ...over[name] }]));
};

interface Checked {
  readonly status: number;
  readonly refused: readonly string[];
  readonly warnings: readonly string[];
}

const check = async (over: Sections = {}): Promise<Checked> => {
  const file = path.join(directory, 'wardend.yml');
  fs.writeFileSync(file, JSON.stringify(settings(over)));
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    const status = await configCommand(['check', '--json', '--config', file]);
    return { status, ...JSON.parse(write.mock.calls.join('')) };
  } finally {
    write.mockRestore();
  }
};

const MODULE = (name: string): string => path.join(directory, name);

describe('what this host has against a configuration [operations config check]', () => {
  it('is nothing where all places are good, and nothing has been made by looking', async () => {
    expect(await check()).toMatchObject({ status: 0, refused: [], unseen: [] });
    expect(fs.readdirSync(directory)).toEqual(['wardend.yml']);
  });

  it.runIf(isRoot).each([
    [{ user: { pool_start_uid: 1 } }, /^UID in user pool overlaps with user in \/etc\/passwd: /],
    [{ server: { container_rootfs_path: '/nosuch' } }, /^container_rootfs_path does not exist \/nosuch$/],
    [
      { server: { container_rootfs_path: '/etc/passwd' } },
      /^container_rootfs_path is no directory: \/etc\/passwd$/,
    ],
    [
      { server: { container_depot_path: '/etc/passwd' } },
      /^container_depot_path is no directory .*\(ENOTDIR\)/,
    ],
    [
      { server: { container_depot_path: '/etc/passwd/depot' } },
      /^container_depot_path does not exist .*\(ENOTDIR\)/,
    ],
    [
      { server: { container_depot_path: `/${'x'.repeat(60)}` } },
      /^container_depot_path is longer than 60 bytes/,
    ],
    [
      { server: { unix_domain_path: '/nosuch/s' } },
      /its directory is missing \(ENOENT\); make \/nosuch or configure another server\.unix_domain_path$/,
    ],
    [
      { server: { unix_domain_path: '/etc/passwd' } },
      /^\/etc\/passwd exists and is no socket; .* another server\.unix_domain_path$/,
    ],
    [
      { monitoring: { socket: '/etc/passwd' } },
      /^\/etc\/passwd exists and is no socket; .* another monitoring\.socket$/,
    ],
    [{ server: { pidfile: '/nosuch/dir/x' } }, /^cannot write the pidfile \/nosuch\/dir\/x: ENOENT/],
    [{ server: { pidfile: '/etc' } }, /^cannot write the pidfile \/etc: EISDIR/],
    [
      { drivers: { hooks_path: '/nosuch' } },
      /^drivers\.hooks_path: the directory \/nosuch cannot be read \(ENOENT\)/,
    ],
  ])('refuses %j at the check as at the start [needs: root]', async (over, message) => {
    const { status, refused } = await check(over);
    expect([status, refused]).toEqual([2, [expect.stringMatching(message)]]);
    const parts = { hasClientSocket: false, logger: silentLogger };
    expect(() => checkStart(checkConfiguration(settings(over)), parts)).toThrow(refused[0]);
  });

  it.each([
    [{ logging: { file: '/nosuch/x' } }, /^logging\.file: ENOENT/],
    [{ logging: { file: '/etc' } }, /^logging\.file: EISDIR/],
    [{ images: { certificates: '/nosuch' } }, /^images\.certificates: ENOENT/],
    [{ drivers: { filesystem: './nosuch.js' } }, /^drivers\.filesystem: \/.*\/nosuch\.js cannot be imported/],
    [{ drivers: { quota: '@nobody/has-this' } }, /^drivers\.quota: @nobody\/has-this is not installed in /],
  ])('refuses %j, which a start finds out later', async (over, message) => {
    expect(await check(over)).toMatchObject({ status: 2, refused: [expect.stringMatching(message)] });
  });

  it('refuses a module that makes no driver, and takes one that does', async () => {
    const driver = `import { noQuota } from ${JSON.stringify(import.meta.resolve('@warden/quota'))}; export default () => noQuota()`;
    fs.writeFileSync(MODULE('good.mjs'), driver);
    fs.writeFileSync(MODULE('lacking.mjs'), 'export default () => () => ({ role: "quota", name: "mine" })');
    fs.writeFileSync(MODULE('bad.mjs'), 'export const driver = 1');
    expect(await check({ drivers: { quota: './good.mjs' } })).toMatchObject({ status: 0 });
    expect((await check({ drivers: { quota: './lacking.mjs' } })).refused).toEqual([
      expect.stringContaining('makes a driver without supports, probe, plan'),
    ]);
    expect((await check({ drivers: { quota: './bad.mjs' } })).refused).toEqual([
      expect.stringContaining('has no function as its default export'),
    ]);
  });

  it('is told completely', async () => {
    const { refused } = await check({
      server: { container_rootfs_path: '/nosuch', pidfile: '/etc' },
      logging: { file: '/nosuch/x' },
    });
    expect(refused).toHaveLength(3);
  });

  it('does not hold the daemon that runs with it against it', async () => {
    const server = net.createServer().listen(path.join(directory, 'warden.sock'));
    await once(server, 'listening');
    fs.writeFileSync(path.join(directory, 'pid'), `${process.ppid}\n`);
    try {
      expect(await check()).toMatchObject({ status: 0, refused: [] });
    } finally {
      server.close();
    }
  });

  it.runIf(isRoot)(
    'leaves the socket for clients to a service manager that has opened it [needs: root]',
    () => {
      const configuration = checkConfiguration(settings({ server: { unix_domain_path: '/nosuch/s' } }));
      checkStart(configuration, { hasClientSocket: true, logger: silentLogger });
    },
  );

  it('says of ports that the host gives away itself what a start logs', async () => {
    const { status, warnings } = await check({ port: { pool_start_port: 40_000, pool_size: 1_000 } });
    expect([status, warnings]).toEqual([
      0,
      [expect.stringMatching(/^ports-overlap-ephemeral on this host: outgoing connections/)],
    ]);
  });

  it('is told in words with a verdict', async () => {
    const file = path.join(directory, 'wardend.yml');
    fs.writeFileSync(file, JSON.stringify(settings({ server: { pidfile: '/etc' } })));
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const complain = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    try {
      expect(await configCommand(['check', '--config', file])).toBe(2);
      expect(write.mock.calls.join('')).toBe(`${file}: a daemon would not start on this host\n`);
      expect(complain.mock.calls.join('')).toMatch(
        /^wardend config: refused on this host: cannot write the pidfile \/etc: EISDIR.*\n$/,
      );
    } finally {
      write.mockRestore();
      complain.mockRestore();
    }
  });
});

describe('wardend config show [operations config show]', () => {
  it('tells what is unsafe, as --check-config does', async () => {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    try {
      expect(await configCommand(['show', '--set', 'security.seccomp=false'])).toBe(0);
      expect(JSON.parse(write.mock.calls.join(''))).toMatchObject({
        security: { seccomp: false },
        unsafe: [{ name: 'no-seccomp', advice: 'set security.seccomp to true' }],
      });
    } finally {
      write.mockRestore();
    }
  });

  it('tells the pool that is used, also where the older keys make it [config 2 network]', () => {
    const older = { pool_start_address: '10.1.0.0', pool_size: 100 };
    expect(JSON.parse(effective(checkConfiguration({ network: older })))).toMatchObject({
      network: { ...older, pool_network: '10.1.0.0/23' },
    });
  });
});

describe('limits of jobs', () => {
  const warningsOf = (over: Sections): unknown[][] => {
    const warn = vi.fn();
    const configuration = checkConfiguration(settings(over));
    checkOwnLimits(configuration, { ...silentLogger, warn });
    return warn.mock.calls;
  };
  const BEYOND = { nofile: 2 ** 40, stack: 65_536, nproc: 2 ** 50 };

  it('that are above those of the daemon are told at its start, with what to do', () => {
    const told = warningsOf({ server: { container_rlimits: BEYOND } });
    expect(told).toContainEqual([
      'job-limit-out-of-reach',
      expect.objectContaining({
        limit: 'server.container_rlimits.nofile',
        wanted: 2 ** 40,
        most: expect.any(BigInt),
        advice: expect.stringContaining('LimitNOFILE='),
      }),
    ]);
    expect(JSON.stringify(told.map(([, facts]) => (facts as { limit: string }).limit))).not.toContain(
      'stack',
    );
    // none at all is above every limit, and nofile always has one
    expect(warningsOf({ server: { container_rlimits: { nofile: -1 } } })).toHaveLength(1);
  });

  it('are not told of where they can be given, or where there are none', () => {
    expect(warningsOf({})).toEqual([]);
    expect(
      warningsOf({ server: { container_rlimits: BEYOND }, security: { user_namespace: false } }),
    ).toEqual([]);
  });
});
