/** Subjects of the fakes: how the kits are wired, without a kernel. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger, UNCONFINED } from '@warden/interface';
import type { CgroupSubject } from '../cgroup.ts';
import type { InitSubject, JobKind } from '../init.ts';
import type { Obstacle } from '../laws.ts';
import type { NetworkSubject } from '../network.ts';
import type { QuotaSubject } from '../quota.ts';
import { GroupTable, memoryCgroups } from './memory-cgroup.ts';
import { memoryInit, type Program } from './memory-init.ts';
import { LinkTable, memoryNetwork } from './memory-network.ts';
import { memoryQuota, QuotaTable } from './memory-quota.ts';

const components = { logger: silentLogger };

function full(table: { isFull: boolean }): Obstacle {
  return {
    name: 'a full table',
    place: async () => {
      table.isFull = true;
      return async () => {
        table.isFull = false;
      };
    },
  };
}

/** A subject of {@link memoryQuota}. */
export async function memoryQuotaSubject(): Promise<QuotaSubject> {
  const table = new QuotaTable();
  const make = memoryQuota({ table });
  const spec = { id: '0123456789a', directory: '/nonexistent/0123456789a', uid: 10_000 };
  const other = { id: 'bbbbbbbbbbb', directory: '/nonexistent/bbbbbbbbbbb', uid: 10_001 };
  return {
    driver: make(components),
    restart: () => make(components),
    depot: '/nonexistent',
    spec,
    other,
    write: async (bytes, of = spec) => table.charge(of.id, bytes),
    obstacles: [full(table)],
    inventory: async () => [...table.entries.keys()],
    close: async () => {},
  };
}

/** A subject of {@link memoryCgroups}. */
export async function memoryCgroupSubject(): Promise<CgroupSubject> {
  const table = new GroupTable();
  const make = memoryCgroups({ table, prefix: 'kit' });
  let nextPid = 1;
  return {
    driver: make(components),
    restart: async () => make(components),
    obstacles: () => [full(table)],
    join: async (files) => {
      const pid = nextPid++;
      let end: () => void = () => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      for (const file of files) table.join(file, { pid, rss: 0n, onEnd: () => end() });
      return {
        pid,
        ended,
        allocate: (bytes) => table.allocate(pid, bytes),
        kill: () => table.end(pid),
      };
    },
    inventory: async () => [...table.groups.keys()],
    close: async () => {},
  };
}

/** A subject of {@link memoryNetwork}. */
export async function memoryNetworkSubject(): Promise<NetworkSubject> {
  const table = new LinkTable();
  const listening = new Set<string>();
  let nextPid = 1;
  const make = memoryNetwork({ table });
  return {
    driver: make(components),
    restart: async () => make(components),
    hostAddress: '203.0.113.1',
    outsideAddress: '203.0.113.2',
    connects: async (_from, address, port) => {
      const target = ['203.0.113.1', '127.0.0.1'].includes(address) ? table.translate(port) : undefined;
      return target !== undefined && listening.has(`${target.address}:${target.port}`);
    },
    makeNamespace: async () => {
      const pid = nextPid++;
      let own = '';
      return {
        pid,
        configure: async (inside) => {
          own = inside.address;
        },
        connects: async (address, port) => table.allows(pid, address, port),
        listen: async (port) => {
          listening.add(`${own}:${port}`);
        },
        close: async () => {
          table.ended.add(pid);
          for (const one of listening) if (one.startsWith(`${own}:`)) listening.delete(one);
        },
      };
    },
    listenOnHost: async (port) => {
      table.hostPorts.add(port);
    },
    inventory: async () => table.inventory(),
    close: async () => {},
  };
}

/** The job is its first word. */
const program: Program = async ({ spec, write, killed }) => {
  const kind = JSON.parse(spec.argv[0]!) as JobKind;
  switch (kind.does) {
    case 'print':
      write('stdout', kind.stdout);
      write('stderr', kind.stderr);
      return { exitCode: kind.status };
    case 'copy':
      write('stdout', spec.stdin);
      return { exitCode: 0 };
    case 'wait':
      return { signal: await killed };
    case 'print-later':
      await new Promise((resolve) => setTimeout(resolve, kind.afterMs));
      write('stdout', kind.text);
      return { exitCode: 0 };
  }
};

/** A subject of {@link memoryInit}. */
export async function memoryInitSubject(): Promise<InitSubject> {
  const depot = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-kit-'));
  const init = memoryInit({ program, fails: (spec) => spec.hostname === 'broken' });
  return {
    driver: init(components),
    restart: () => init(components),
    depot,
    spec: (broken = false) => ({
      id: '0123456789a',
      directory: path.join(depot, '0123456789a'),
      hostname: broken ? 'broken' : 'box',
      config: [['id', '0123456789a']],
      hookEnvironment: {},
      mounts: [],
      bindMounts: [],
      network: undefined,
      cgroupJoinFiles: [],
      user: { name: 'vcap', uid: 10_000, gid: 10_000, home: '/home/vcap', shell: '/bin/sh' },
      hosts: '',
      resolvConf: '',
      confinement: UNCONFINED,
      nice: 0,
    }),
    job: (id, kind) => ({
      id,
      argv: [JSON.stringify(kind.does === 'copy' ? { does: 'copy' } : kind)],
      user: 'vcap',
      stdin: kind.does === 'copy' ? kind.input : new Uint8Array(),
      environment: {},
      rlimits: [],
      discardOutput: false,
      trackTree: false,
    }),
    inventory: async () => init.directories(),
    close: async () => fs.rmSync(depot, { recursive: true, force: true }),
  };
}
