/**
 * Process limits of a job: the request's, else the configured ones, else the original's defaults (spec
 * behaviour.md 14).
 */
import {
  type JobSpec,
  RESOURCE_NAMES,
  type ResourceLimits,
  type ResourceName,
  WardenError,
} from '@warden/interface';

const INFINITY = 0xffff_ffff_ffff_ffffn;

/** Numbers of RLIMIT_* in Linux, the same on every architecture warden runs on. */
const NUMBERS: Readonly<Record<ResourceName, number>> = {
  as: 9,
  core: 4,
  cpu: 0,
  data: 2,
  fsize: 1,
  locks: 10,
  memlock: 8,
  msgqueue: 12,
  nice: 13,
  nofile: 7,
  nproc: 6,
  rss: 5,
  rtprio: 14,
  sigpending: 11,
  stack: 3,
};

const DEFAULTS: Readonly<Record<ResourceName, bigint>> = {
  as: INFINITY,
  core: 0n,
  cpu: INFINITY,
  data: INFINITY,
  fsize: INFINITY,
  locks: INFINITY,
  memlock: 65_536n,
  msgqueue: 819_200n,
  nice: 0n,
  nofile: 1_024n,
  nproc: 1_024n,
  rss: INFINITY,
  rtprio: 0n,
  sigpending: 1_024n,
  stack: 8_388_608n,
};

/** All limits as init sets them. Errors: `INVALID_SPEC` for a name or number that does not exist. */
export function effectiveLimits(requested: ResourceLimits, configured: ResourceLimits): JobSpec['rlimits'] {
  for (const [name, value] of Object.entries(requested)) {
    if (!Object.hasOwn(NUMBERS, name))
      throw new WardenError('INVALID_SPEC', `unknown resource limit: ${name}`, { fields: { object: name } });
    if (value !== undefined && (value < 0n || value > INFINITY))
      throw new WardenError('INVALID_SPEC', `resource limit ${name} is out of range: ${value}`, {
        fields: { object: name },
      });
  }
  if (Object.keys(requested).length > 0) return listOf(requested, configured);
  let usual = usualLists.get(configured);
  if (usual === undefined) {
    usual = Object.freeze(listOf(requested, configured));
    usualLists.set(configured, usual);
  }
  return usual;
}

/** For jobs that ask for nothing else, one list: whoever writes it can know it by that. */
const usualLists = new WeakMap<ResourceLimits, JobSpec['rlimits']>();

function listOf(requested: ResourceLimits, configured: ResourceLimits): JobSpec['rlimits'] {
  return RESOURCE_NAMES.map((name) => {
    const value = requested[name] ?? configured[name] ?? DEFAULTS[name];
    return { resource: NUMBERS[name], soft: value, hard: value };
  });
}
