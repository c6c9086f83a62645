/**
 * Process limits that jobs are to have and this process could not give them. Nobody in a user namespace may
 * raise a hard limit, so a job that is to have more than the daemon itself cannot be started, however much
 * may be had on the host.
 */
import fs from 'node:fs';
import type { Logger } from '@warden/interface';
import { type Configuration, isInsecure } from './config.ts';

/** As `/proc/self/limits` calls them, and systemd's keys. */
const LIMITS: Readonly<Record<string, readonly [name: string, key: string]>> = {
  as: ['Max address space', 'LimitAS'],
  core: ['Max core file size', 'LimitCORE'],
  cpu: ['Max cpu time', 'LimitCPU'],
  data: ['Max data size', 'LimitDATA'],
  fsize: ['Max file size', 'LimitFSIZE'],
  locks: ['Max file locks', 'LimitLOCKS'],
  memlock: ['Max locked memory', 'LimitMEMLOCK'],
  msgqueue: ['Max msgqueue size', 'LimitMSGQUEUE'],
  nice: ['Max nice priority', 'LimitNICE'],
  nofile: ['Max open files', 'LimitNOFILE'],
  nproc: ['Max processes', 'LimitNPROC'],
  rss: ['Max resident set', 'LimitRSS'],
  rtprio: ['Max realtime priority', 'LimitRTPRIO'],
  sigpending: ['Max pending signals', 'LimitSIGPENDING'],
  stack: ['Max stack size', 'LimitSTACK'],
};

/** Warns of configured limits of jobs that are above the hard ones of this process. */
export function checkOwnLimits(configuration: Configuration, logger: Logger): void {
  const { container_rlimits: wanted = {} } = configuration.server;
  const mayRaise = isInsecure(configuration) || !configuration.security.user_namespace;
  if (mayRaise || Object.keys(wanted).length === 0) return;
  const hard = hardLimits();
  for (const [limit, value] of Object.entries(wanted)) {
    const [name = '', key = ''] = LIMITS[limit] ?? [];
    const most = hard.get(name);
    if (most === undefined || (value >= 0 && BigInt(value) <= most)) continue;
    logger.warn('job-limit-out-of-reach', {
      limit: `server.container_rlimits.${limit}`,
      wanted: value,
      most,
      means: 'jobs that ask for no other limit fail with status 255',
      advice: `lower it, or raise the hard limit of the daemon (${key}= of its unit)`,
    });
  }
}

/** Those that are finite. */
function hardLimits(): ReadonlyMap<string, bigint> {
  const found = new Map<string, bigint>();
  for (const line of fs.readFileSync('/proc/self/limits', 'utf8').split('\n')) {
    const [, name, hard] = /^(\S.*?) {2,}\S+ +(\d+)/.exec(line) ?? [];
    if (name !== undefined && hard !== undefined) found.set(name, BigInt(hard));
  }
  return found;
}
