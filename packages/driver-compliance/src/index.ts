/**
 * One test kit per driver contract of `@warden/interface`, and fakes that pass it.
 *
 * A kit declares its tests through the functions of whatever runner is used and gets isolated subjects from a
 * factory; it never asks for a driver's name, only for what it `supports`.
 *
 * @packageDocumentation
 */
export { type CgroupSubject, cgroupCompliance, type JoinedProcess } from './cgroup.ts';
export { copyFilesystem } from './fakes/copy-filesystem.ts';
export { type FakeProcess, GroupTable, memoryCgroups } from './fakes/memory-cgroup.ts';
export { type MemoryDrivers, memoryDrivers } from './fakes/memory-drivers.ts';
export {
  type MemoryInitOptions,
  memoryInit,
  type Program,
  type ProgramContext,
} from './fakes/memory-init.ts';
export { LinkTable, memoryNetwork } from './fakes/memory-network.ts';
export { memoryQuota, QuotaTable } from './fakes/memory-quota.ts';
export {
  memoryCgroupSubject,
  memoryInitSubject,
  memoryNetworkSubject,
  memoryQuotaSubject,
} from './fakes/subjects.ts';
export { type FilesystemSubject, filesystemCompliance, type MountedRoot } from './filesystem.ts';
export { type InitSubject, initCompliance, type JobKind } from './init.ts';
export type { Obstacle } from './laws.ts';
export { type ContainerNamespace, type NetworkSubject, networkCompliance } from './network.ts';
export { type QuotaSubject, quotaCompliance } from './quota.ts';
export type { TestFunctions } from './test-functions.ts';
