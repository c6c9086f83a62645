/** The fakes pass the kits; the real drivers do so in the repository's compliance suite. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger, UNCONFINED } from '@warden/interface';
import { describe, it } from 'vitest';
import {
  cgroupCompliance,
  GroupTable,
  initCompliance,
  type JobKind,
  LinkTable,
  memoryCgroups,
  memoryInit,
  memoryNetwork,
  memoryQuota,
  networkCompliance,
  type Program,
  QuotaTable,
  quotaCompliance,
} from './index.ts';

const test = { describe, it };
const components = { logger: silentLogger };

quotaCompliance(test, 'memory', async () => {
  const table = new QuotaTable();
  const spec = { id: '0123456789a', directory: '/nonexistent/0123456789a', uid: 10_000 };
  return {
    driver: memoryQuota({ table })(components),
    depot: '/nonexistent',
    spec,
    write: async (bytes) => table.charge(spec.id, bytes),
    inventory: async () => [...table.entries.keys()],
    close: async () => {},
  };
});

cgroupCompliance(test, 'memory', async () => {
  const table = new GroupTable();
  let nextPid = 1;
  return {
    driver: memoryCgroups({ table, prefix: 'kit' })(components),
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
        allocate: async (bytes) => table.allocate(pid, bytes),
        kill: () => table.end(pid),
      };
    },
    inventory: async () => [...table.groups.keys()],
    close: async () => {},
  };
});

networkCompliance(test, 'memory', async () => {
  const table = new LinkTable();
  const listening = new Set<string>();
  let nextPid = 1;
  return {
    driver: memoryNetwork({ table })(components),
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
        close: async () => {},
      };
    },
    listenOnHost: async (port) => {
      table.hostPorts.add(port);
    },
    inventory: async () => table.inventory(),
    close: async () => {},
  };
});

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

initCompliance(test, 'memory', async () => {
  const depot = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-kit-'));
  const init = memoryInit({ program, fails: (spec) => spec.hostname === 'broken' });
  return {
    driver: init(components),
    depot,
    spec: (broken = false) => ({
      id: '0123456789a',
      directory: path.join(depot, '0123456789a'),
      hostname: broken ? 'broken' : 'box',
      config: [],
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
});
