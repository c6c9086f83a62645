/** Chooses between the versions when it is made: the mount table decides. */
import { type CgroupDriver, type DriverFactory, WardenError } from '@warden/interface';
import { type DetectSources, detectHierarchies } from './detect.ts';
import { noCgroups } from './none.ts';
import { v1Driver } from './v1/driver.ts';
import { v2Driver } from './v2/driver.ts';

/** Options of {@link cgroups}. */
export interface CgroupsOptions {
  /** Name of the group below which all others are made; different for each daemon of a host. */
  readonly prefix: string;
  /**
   * Groups of containers that have ended may be given to the next ones. False where mounts that core does not
   * know of, as those of an operator's hooks, may let containers hand descriptors to each other: see
   * `CgroupSpec.sharesDescriptors`. Default: true.
   */
  readonly reusesGroups?: boolean;
  /** Other files to detect from, for fixtures. */
  readonly sources?: DetectSources;
}

/** The driver for whatever version this host has. A bad prefix is a `TypeError`. */
export function cgroups(options: CgroupsOptions): DriverFactory<CgroupDriver> {
  const { prefix, sources, reusesGroups = true } = options;
  // a program without types may forget it: its groups would lie below one called undefined
  if (typeof prefix !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(prefix))
    throw new TypeError(`a cgroup prefix is one path component, found ${JSON.stringify(prefix)}`);
  return (components) => {
    const found = detectHierarchies(sources);
    if (found?.version === 1) return v1Driver(found.mounts, { prefix, reusesGroups }, components);
    if (found?.version === 2)
      return v2Driver({
        mount: found.mount,
        prefix,
        controllers: found.controllers,
        logger: components.logger,
        failpoints: components.failpoints,
      });
    const reason = 'no cgroup hierarchy is mounted';
    return {
      ...noCgroups()(components),
      name: 'absent',
      probe: async () => ({ ok: false, reason }),
      setup: async () => {
        throw new WardenError('UNSUPPORTED', reason, { fields: { operation: 'set up cgroups' } });
      },
    };
  };
}
