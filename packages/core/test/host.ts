/** What the engine's tests run on: the fakes of the compliance kit, which are proven to keep the contracts. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  copyFilesystem,
  GroupTable,
  LinkTable,
  type MemoryInitOptions,
  memoryCgroups,
  memoryInit,
  memoryNetwork,
  memoryQuota,
  QuotaTable,
} from '@warden/driver-compliance';
import { type CgroupDriver, silentLogger } from '@warden/interface';
import { type Core, type CoreOptions, createCore } from '../src/index.ts';

/** An inventory of nothing. */
export const EMPTY = { depot: [], groups: [], links: [], quotas: [], inits: [] };

/** The network of its containers. */
export const NETWORK: CoreOptions['network'] = {
  pool: '10.254.0.0/24',
  releaseDelay: 0,
  mtu: 1500,
  allowNetworks: [],
  denyNetworks: [],
  allowHostAccess: false,
  dnsServers: [],
};

/** A host: everything that survives a daemon. */
export class TestHost {
  readonly directory: string = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-core-'));
  readonly depot: string = path.join(this.directory, 'depot');
  readonly rootfs: string = path.join(this.directory, 'rootfs');
  readonly groups: GroupTable = new GroupTable();
  readonly links: LinkTable = new LinkTable();
  readonly quotas: QuotaTable = new QuotaTable();
  readonly inits: ReturnType<typeof memoryInit>;

  constructor(options: MemoryInitOptions) {
    this.inits = memoryInit(options);
    fs.mkdirSync(this.depot);
    fs.mkdirSync(this.rootfs);
  }

  /** Drivers as a new daemon has them. */
  drivers(): CoreOptions['drivers'] {
    const components = { logger: silentLogger };
    return {
      init: this.inits(components),
      filesystem: copyFilesystem()(components),
      network: memoryNetwork({ table: this.links })(components),
      cgroup: this.cgroups('core'),
      quota: memoryQuota({ table: this.quotas })(components),
    };
  }

  /** Those of a daemon of this name. */
  cgroups(prefix: string): CgroupDriver {
    return memoryCgroups({ table: this.groups, prefix })({ logger: silentLogger });
  }

  start(over: Partial<CoreOptions> = {}): Promise<Core> {
    return createCore(this.options(over));
  }

  /** What a daemon is made from. */
  options(over: Partial<CoreOptions> = {}): CoreOptions {
    return {
      drivers: this.drivers(),
      logger: silentLogger,
      depot: this.depot,
      rootfs: this.rootfs,
      graceTime: 300,
      network: NETWORK,
      ports: { first: 61_000, count: 4 },
      uids: { first: 10_000, count: 16 },
      jobOutputLimit: 1_000_000,
      rlimits: {},
      nice: 0,
      security: { subordinateIds: 0x2000_0000, capabilities: 0n, noNewPrivileges: true, seccomp: true },
      pidsLimit: undefined,
      allowNested: false,
      lang: 'C.UTF-8',
      durable: false,
      ...over,
    };
  }

  /** Everything that is left. */
  inventory(): object {
    return {
      depot: fs.readdirSync(this.depot),
      groups: [...this.groups.groups.keys()],
      links: this.links.inventory(),
      quotas: [...this.quotas.entries.keys()],
      inits: this.inits.directories(),
    };
  }

  remove(): void {
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}
