/**
 * The warden client for programs: containers, jobs and their output over the daemon's unix socket, as the
 * `Warden` API.
 *
 * @packageDocumentation
 */
export type {
  BandwidthLimit,
  BandwidthStat,
  BindMountSpec,
  ByteStream,
  Container,
  ContainerEvent,
  ContainerEventType,
  ContainerFiles,
  ContainerFilter,
  ContainerInfo,
  ContainerReport,
  ContainerState,
  CpuStat,
  CreateSpec,
  DirectoryEntry,
  DiskLimitSpec,
  DiskLimits,
  DiskStat,
  EndedJob,
  ErrorCode,
  ErrorFields,
  EventFilter,
  ExitVerdict,
  FileChange,
  FileOptions,
  FileStat,
  FileType,
  ImageImportSpec,
  ImageInfo,
  ImageOptions,
  ImageProgress,
  ImagePullSpec,
  ImageRemoval,
  Images,
  Job,
  JobEnd,
  JobResult,
  MemoryStat,
  NetOutSpec,
  NetRules,
  NetRulesRemoval,
  OutputChunk,
  PortMapping,
  PressureStat,
  Properties,
  ReadOptions,
  ResourceLimits,
  ResourceName,
  SpawnOptions,
  TerminalSize,
  Warden,
  WardenMetrics,
  WriteOptions,
} from '@warden/interface';
export { isWardenError, WardenError } from '@warden/interface';
export { exitVerdict } from './answer-values.ts';
export {
  ClientContainer,
  type ClientSpawnOptions,
  type RunOptions,
  type Script,
} from './client-container.ts';
export { ClientFiles } from './client-files.ts';
export { ClientJob, type KillOptions } from './client-job.ts';
export type { DialOptions } from './dial.ts';
export type { Feature } from './features.ts';
export { ClientJobResult } from './job-result.ts';
export { ShellCommand, type ShellValue, sh, shellQuote } from './shell-command.ts';
export type { Call, LaneRequest, Transport } from './transport.ts';
export { type ConnectOptions, connect, WardenClient } from './warden-client.ts';
export type { WaitLimits } from './watchdog.ts';
