/**
 * Contracts of warden: the `Warden` API, the driver roles, error codes and the logger type. This package
 * imports nothing.
 *
 * @packageDocumentation
 */
export { decodeBytes, encodeBytes } from './bytes.ts';
export type {
  CgroupDriver,
  CgroupSpec,
  CgroupSupports,
  OpenStatistics,
  OutOfMemoryWatch,
  ProcessCount,
  ProcessReserve,
  Watch,
} from './cgroup.ts';
export type { CopySpec, RunningCopy } from './copy.ts';
export type {
  ContainerId,
  DriverComponents,
  DriverFactory,
  DriverState,
  ProbeResult,
  ReusableEntry,
} from './driver.ts';
export { isContainerId } from './driver.ts';
export type { DriverMethod, ForeignDrivers, ForeignRole } from './driver-contracts.ts';
export { answerFlaw, driverFlaws, driverMethods, FOREIGN_ROLES, unsaidSupports } from './driver-contracts.ts';
export type { ErrorCode, ErrorFields, WardenErrorOptions } from './errors.ts';
export { ERROR_CODES, isWardenError, toWardenError, WardenError } from './errors.ts';
export type { ContainerEvent, ContainerEventType, EventBase, EventFilter } from './events.ts';
export { EVENT_TYPES } from './events.ts';
export type { Failpoints } from './failpoints.ts';
export { NO_FAILPOINTS } from './failpoints.ts';
export type {
  ByteStream,
  ContainerFiles,
  DirectoryEntry,
  FileChange,
  FileOptions,
  FileStat,
  FileType,
  ReadOptions,
  WriteOptions,
} from './files.ts';
export { FILE_MODES } from './files.ts';
export type { FilesystemDriver, FilesystemSupports, Mount, RootfsSpec } from './filesystem.ts';
export type {
  CaptureOptions,
  CaptureSpec,
  ImageBase,
  ImageImportSpec,
  ImageInfo,
  ImageOptions,
  ImageProgress,
  ImagePullSpec,
  ImageRemoval,
  ImageStore,
  Images,
} from './images.ts';
export type {
  ByteSink,
  ByteSource,
  Confinement,
  FileAnswer,
  FileChannel,
  FileTask,
  IdRange,
  Init,
  InitDriver,
  InitJob,
  InitSpec,
  InitSupports,
  JobSpec,
  KeptOutput,
  LaunchedInit,
  OutputFile,
  UnprivilegedUser,
  WaitStatus,
} from './init.ts';
export { UNCONFINED } from './init.ts';
export type { LeavableSource } from './leavable.ts';
export { leavable } from './leavable.ts';
export type { LogFields, Logger } from './logger.ts';
export { silentLogger } from './logger.ts';
export type { PoolUsage, WardenMetrics } from './metrics.ts';
export type {
  BandwidthLimit,
  DenialSupport,
  EgressRule,
  InsideNetwork,
  Ipv4,
  NetworkDenial,
  NetworkDriver,
  NetworkHostSpec,
  NetworkRules,
  NetworkSpec,
  NetworkSupports,
  PortMapping,
} from './network.ts';
export type {
  ContainerLook,
  ContainerMeasure,
  JobLook,
  LimitsLook,
  Onlooker,
  UsageLook,
} from './onlooker.ts';
export type { DescriptorPlace, OutputPipes, OutputRelay, PieceFrame } from './output.ts';
export { isPort, noPort, noPortRange, PORT_RANGE_ADVICE } from './port.ts';
export type { DiskLimits, QuotaDriver, QuotaSpec, QuotaSupports } from './quota.ts';
export { abortWith, onAbort } from './shared-abort.ts';
export { didYouMean, nearest, suggestionOf } from './suggest.ts';
export { untilAborted } from './until-aborted.ts';
export type {
  BandwidthStat,
  BindMountSpec,
  Container,
  ContainerFilter,
  ContainerInfo,
  ContainerReport,
  ContainerState,
  CpuStat,
  CreateSpec,
  DiskLimitSpec,
  DiskStat,
  EndedJob,
  ExitVerdict,
  Job,
  JobEnd,
  JobResult,
  MemoryStat,
  NetOutSpec,
  NetRules,
  NetRulesRemoval,
  OutputChunk,
  PressureLine,
  PressureStat,
  Properties,
  ResourceLimits,
  ResourceName,
  ResourcePressure,
  SpawnOptions,
  TerminalSize,
  Warden,
  WardenHost,
} from './warden.ts';
export { MAX_ENDED_JOBS, MEMORY_STAT_KEYS, PROPERTY_LIMITS, RESOURCE_NAMES } from './warden.ts';
