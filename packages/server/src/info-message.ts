/** `ContainerInfo` as the wire's `InfoResponse`. */
import type { ContainerInfo } from '@warden/interface';
import type { InfoResponse } from '@warden/protocol';

/** Lists that are empty are absent on the wire by themselves. */
export function infoMessage(info: ContainerInfo): InfoResponse {
  const { memoryStat, cpuStat, diskStat, bandwidthStat } = info;
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
  };
}
