/** From response messages to the values of the Warden API. */
import {
  type BandwidthStat,
  type ContainerEvent,
  type ContainerEventType,
  type ContainerInfo,
  type ContainerReport,
  type ContainerState,
  type CpuStat,
  type DiskLimits,
  type DiskStat,
  type EndedJob,
  EVENT_TYPES,
  type ExitVerdict,
  type JobEnd,
  type MemoryStat,
  type NetOutSpec,
  type NetRules,
  type OutputChunk,
  type PoolUsage,
  type PortMapping,
  type PressureLine,
  type PressureStat,
  type Properties,
  type ResourcePressure,
  type WardenMetrics,
} from '@warden/interface';
import type {
  EndedJob as EndedJobMessage,
  EventsResponse,
  InfoReport,
  InfoResponse,
  LimitDiskResponse,
  LinkResponse,
  MetricsResponse,
  NetRule,
  NetRulesResponse,
  Property,
  PublishedPort,
  StreamResponse,
} from '@warden/protocol';
import { ClientJobResult } from './job-result.ts';

/** The daemon could not say how the job ended; the original's number for it. */
const UNKNOWN_EXIT_STATUS = 255;

/** Facts about a container; what the daemon left out stays out. */
export function containerInfo(answer: InfoResponse | undefined): ContainerInfo {
  const { memory_stat, cpu_stat, disk_stat, bandwidth_stat, pressure_stat } = answer ?? {};
  return {
    state: (answer?.state ?? 'active') as ContainerState,
    events: answer?.events ?? [],
    ...(answer?.host_ip === undefined ? {} : { hostIp: answer.host_ip }),
    ...(answer?.container_ip === undefined ? {} : { containerIp: answer.container_ip }),
    ...(answer?.container_path === undefined ? {} : { containerPath: answer.container_path }),
    ...(memory_stat === undefined ? {} : { memoryStat: memory_stat as MemoryStat }),
    ...(cpu_stat === undefined ? {} : { cpuStat: cpuStat(cpu_stat) }),
    ...(disk_stat === undefined ? {} : { diskStat: diskStat(disk_stat) }),
    ...(bandwidth_stat === undefined ? {} : { bandwidthStat: bandwidthStat(bandwidth_stat) }),
    ...(pressure_stat === undefined ? {} : { pressureStat: pressureStat(pressure_stat) }),
    jobIds: (answer?.job_ids ?? []).map(Number),
    ...(answer?.unsafe === undefined || answer.unsafe.length === 0 ? {} : { unsafe: answer.unsafe }),
    ...(answer?.properties === undefined || answer.properties.length === 0
      ? {}
      : { properties: propertiesOf(answer.properties) }),
    ...(answer?.paused === true && { paused: true }),
    ...(answer?.ports !== undefined && answer.ports.length > 0 && { ports: answer.ports.map(portMapping) }),
    ...(answer?.ended_jobs !== undefined &&
      answer.ended_jobs.length > 0 && { endedJobs: answer.ended_jobs.map(endedJob) }),
  };
}

function endedJob(message: EndedJobMessage): EndedJob {
  const { job_id, exit_status = UNKNOWN_EXIT_STATUS } = message;
  return { id: job_id, exitStatus: exit_status, verdict: exitVerdict(message) };
}

/** A port of the host that leads into a container. */
export function portMapping({ host_port, container_port }: PublishedPort): PortMapping {
  return { hostPort: host_port, containerPort: container_port };
}

/** What is open for a container. */
export function netRules({ ports = [], egress = [] }: NetRulesResponse): NetRules {
  return { ports: ports.map(portMapping), egress: egress.map(egressSpec) };
}

const PROTOCOLS = ['tcp', 'udp', 'icmp', 'all'] as const;

/** Without what it leaves open: it is equal to what `netOut` was given, if that was written the same way. */
function egressSpec({ network, port, port_range, protocol = 0, ...rule }: NetRule): NetOutSpec {
  const { icmp_type, icmp_code, log, domain } = rule;
  return {
    protocol: PROTOCOLS[protocol]!,
    ...(domain !== undefined && { domain }),
    ...(network !== undefined && { network }),
    ...(port !== undefined && { port }),
    ...(port_range !== undefined && { portRange: port_range }),
    ...(icmp_type !== undefined && { icmpType: icmp_type }),
    ...(icmp_code !== undefined && { icmpCode: icmp_code }),
    ...(log === true && { log }),
  };
}

/** Labels as an object without a prototype: `__proto__` is a name like any other. */
export function propertiesOf(messages: readonly Property[] = []): Properties {
  const properties: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const { name, value } of messages) properties[name] = value;
  return properties;
}

/** One of many. */
export function containerReport({ handle, info, error_code, error_message }: InfoReport): ContainerReport {
  return {
    handle,
    ...(info && { info: containerInfo(info) }),
    ...(error_code !== undefined && { error: { code: error_code, message: error_message ?? '' } }),
  };
}

/** Numbers of the daemon; what it left out is 0. */
export function wardenMetrics(answer: MetricsResponse): WardenMetrics {
  return {
    containers: answer.containers ?? 0,
    jobs: answer.jobs ?? 0,
    pools: (answer.pools ?? []).map(({ name, used, limit }) => ({
      name: name as PoolUsage['name'],
      used,
      limit,
    })),
    totals: {
      created: Number(answer.created_total ?? 0n),
      destroyed: Number(answer.destroyed_total ?? 0n),
      exits: Number(answer.exits_total ?? 0n),
      outOfMemory: Number(answer.out_of_memory_total ?? 0n),
    },
    uptimeMs: Number(answer.uptime_ms ?? 0n),
    subscribers: answer.subscribers ?? 0,
  };
}

/** An event; `undefined` for one of a kind that this client does not know. */
export function containerEvent(answer: EventsResponse): ContainerEvent | undefined {
  const { type, handle = '', time = 0n, lost = 0, job_id = 0, limit, value = 0n } = answer;
  if (!EVENT_TYPES.includes(type as ContainerEventType)) return undefined;
  const event = { handle, time: Number(time), lost };
  switch (type as ContainerEventType) {
    case 'exit': {
      const exitStatus = answer.exit_status ?? UNKNOWN_EXIT_STATUS;
      const verdict = exitVerdict(answer) ?? ({ reason: 'internal' } as const);
      return { ...event, type: 'exit', jobId: job_id, exitStatus, verdict };
    }
    case 'limit':
      return { ...event, type: 'limit', limit: limit as 'memory', value };
    case 'output-limit':
      return { ...event, type: 'output-limit', jobId: job_id };
    case 'oom':
      return { ...event, type: 'oom' };
    case 'network-denied': {
      const { destination, name, protocol, port, count = 1 } = answer;
      return {
        ...event,
        type: 'network-denied',
        ...(destination !== undefined && { destination }),
        ...(name !== undefined && { name }),
        protocol: protocol as 'tcp',
        ...(port !== undefined && { port }),
        count,
      };
    }
    default:
      return { ...event, type: type as 'created' };
  }
}

function pressureStat({ cpu, memory, io }: NonNullable<InfoResponse['pressure_stat']>): PressureStat {
  return {
    ...(cpu && { cpu: resourcePressure(cpu) }),
    ...(memory && { memory: resourcePressure(memory) }),
    ...(io && { io: resourcePressure(io) }),
  };
}

function resourcePressure(
  message: NonNullable<NonNullable<InfoResponse['pressure_stat']>['cpu']>,
): ResourcePressure {
  const line = (kind: 'some' | 'full'): PressureLine => ({
    avg10: (message[`${kind}_avg10`] ?? 0) / 100,
    avg60: (message[`${kind}_avg60`] ?? 0) / 100,
    avg300: (message[`${kind}_avg300`] ?? 0) / 100,
    total: message[`${kind}_total`] ?? 0n,
  });
  return { some: line('some'), ...(message.full_total !== undefined && { full: line('full') }) };
}

function cpuStat(stat: NonNullable<InfoResponse['cpu_stat']>): CpuStat {
  return { usage: stat.usage ?? 0n, user: stat.user ?? 0n, system: stat.system ?? 0n };
}

function diskStat(stat: NonNullable<InfoResponse['disk_stat']>): DiskStat {
  return { bytesUsed: stat.bytes_used ?? 0n, inodesUsed: stat.inodes_used ?? 0n };
}

function bandwidthStat(stat: NonNullable<InfoResponse['bandwidth_stat']>): BandwidthStat {
  return {
    inRate: stat.in_rate ?? 0n,
    inBurst: stat.in_burst ?? 0n,
    outRate: stat.out_rate ?? 0n,
    outBurst: stat.out_burst ?? 0n,
  };
}

const REASONS: readonly string[] = [
  'timeout',
  'out-of-memory',
  'disk-limit',
  'output-limit',
  'container-stopped',
  'init-lost',
  'internal',
] satisfies ExitVerdict['reason'][];

/** Why a job ended. An old daemon says nothing; a reason this client does not know says nothing to it either. */
export function exitVerdict({
  exit_status,
  exit_reason,
  exit_signal,
}: Pick<StreamResponse, 'exit_status' | 'exit_reason' | 'exit_signal'>): ExitVerdict | undefined {
  if (exit_reason === 'exited') return { reason: 'exited' };
  if (exit_reason === undefined)
    return exit_status === undefined || exit_status === UNKNOWN_EXIT_STATUS
      ? undefined
      : { reason: 'exited' };
  if (exit_reason === 'signal')
    return exit_signal === undefined ? undefined : { reason: 'signal', signal: exit_signal };
  if (!REASONS.includes(exit_reason)) return undefined;
  const reason = exit_reason as Exclude<ExitVerdict['reason'], 'exited' | 'signal'>;
  return exit_signal === undefined ? { reason } : { reason, signal: exit_signal };
}

/** Result of a Link or Run. */
export function jobResult(answer: LinkResponse): ClientJobResult {
  return new ClientJobResult({
    exitStatus: answer.exit_status ?? UNKNOWN_EXIT_STATUS,
    verdict: exitVerdict(answer),
    stdout: answer.stdout ?? new Uint8Array(),
    stderr: answer.stderr ?? new Uint8Array(),
    info: containerInfo(answer.info),
  });
}

/** Whether a stream ends with this answer: the final one has an exit status and no name. */
export function isStreamEnd(answer: StreamResponse): boolean {
  return answer.exit_status !== undefined || answer.name === undefined;
}

/** End of a stream. */
export function jobEnd(answer: StreamResponse): JobEnd {
  return {
    exitStatus: answer.exit_status ?? UNKNOWN_EXIT_STATUS,
    verdict: exitVerdict(answer),
    info: containerInfo(answer.info),
  };
}

/** A data answer of a stream. */
export function outputChunk(answer: StreamResponse): OutputChunk {
  return { stream: answer.name === 'stderr' ? 'stderr' : 'stdout', data: answer.data ?? new Uint8Array() };
}

/** Disk limits in force; undefined when quotas are off, since the daemon then answers none of the fields. */
export function diskLimits(answer: LimitDiskResponse): DiskLimits | undefined {
  if (answer.block_hard === undefined && answer.inode_hard === undefined) return undefined;
  return {
    blockSoft: answer.block_soft ?? 0n,
    blockHard: answer.block_hard ?? 0n,
    inodeSoft: answer.inode_soft ?? 0n,
    inodeHard: answer.inode_hard ?? 0n,
  };
}
