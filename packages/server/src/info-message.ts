/** `ContainerInfo` as the wire's `InfoResponse`. */
import type { ContainerInfo, ResourcePressure } from '@warden/interface';
import type { InfoResponse, ResourcePressure as PressureMessage } from '@warden/protocol';
import { endMessage } from './end-message.ts';
import { portMessage } from './net-rules-message.ts';

/** Lists that are empty are absent on the wire by themselves. */
export function infoMessage(info: ContainerInfo): InfoResponse {
  const { memoryStat, cpuStat, diskStat, bandwidthStat, pressureStat } = info;
  return {
    state: info.state,
    events: info.events,
    host_ip: info.hostIp,
    container_ip: info.containerIp,
    container_path: info.containerPath,
    ...(memoryStat && { memory_stat: memoryStat }),
    ...(cpuStat && { cpu_stat: cpuStat }),
    ...(diskStat && { disk_stat: { bytes_used: diskStat.bytesUsed, inodes_used: diskStat.inodesUsed } }),
    ...(bandwidthStat && {
      bandwidth_stat: {
        in_rate: bandwidthStat.inRate,
        in_burst: bandwidthStat.inBurst,
        out_rate: bandwidthStat.outRate,
        out_burst: bandwidthStat.outBurst,
      },
    }),
    job_ids: info.jobIds.map(BigInt),
    ...(info.unsafe && { unsafe: info.unsafe }),
    ...(info.properties && {
      properties: Object.entries(info.properties).map(([name, value]) => ({ name, value })),
    }),
    ...(info.paused && { paused: true }),
    ...(info.ports && { ports: info.ports.map(portMessage) }),
    ...(info.endedJobs && {
      ended_jobs: info.endedJobs.map((job) => ({ job_id: job.id, ...endMessage(job) })),
    }),
    ...(pressureStat && {
      pressure_stat: {
        cpu: pressureMessage(pressureStat.cpu),
        memory: pressureMessage(pressureStat.memory),
        io: pressureMessage(pressureStat.io),
      },
    }),
  };
}

function pressureMessage(pressure: ResourcePressure | undefined): PressureMessage | undefined {
  if (pressure === undefined) return undefined;
  const { some, full } = pressure;
  const hundredths = (share: number): number => Math.round(share * 100);
  return {
    some_avg10: hundredths(some.avg10),
    some_avg60: hundredths(some.avg60),
    some_avg300: hundredths(some.avg300),
    some_total: some.total,
    ...(full && {
      full_avg10: hundredths(full.avg10),
      full_avg60: hundredths(full.avg60),
      full_avg300: hundredths(full.avg300),
      full_total: full.total,
    }),
  };
}
