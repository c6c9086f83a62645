/** All fakes at once: what an engine needs for containers that exist only in this process. */
import {
  type CgroupDriver,
  type FilesystemDriver,
  type InitDriver,
  type NetworkDriver,
  type QuotaDriver,
  silentLogger,
} from '@warden/interface';
import { copyFilesystem } from './copy-filesystem.ts';
import { GroupTable, memoryCgroups } from './memory-cgroup.ts';
import { memoryInit, type Program } from './memory-init.ts';
import { LinkTable, memoryNetwork } from './memory-network.ts';
import { memoryQuota, QuotaTable } from './memory-quota.ts';

/** One driver per role. */
export interface MemoryDrivers {
  readonly init: InitDriver;
  readonly filesystem: FilesystemDriver;
  readonly network: NetworkDriver;
  readonly cgroup: CgroupDriver;
  readonly quota: QuotaDriver;
}

/** Makes them, with tables of their own; every job runs `program`. */
export function memoryDrivers(program: Program): MemoryDrivers {
  const components = { logger: silentLogger };
  return {
    init: memoryInit({ program })(components),
    filesystem: copyFilesystem()(components),
    network: memoryNetwork({ table: new LinkTable() })(components),
    cgroup: memoryCgroups({ table: new GroupTable(), prefix: 'memory' })(components),
    quota: memoryQuota({ table: new QuotaTable() })(components),
  };
}
