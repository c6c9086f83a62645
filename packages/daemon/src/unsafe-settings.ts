/**
 * What a configuration takes away from the confinement of containers: told at the start, by the doctor, and
 * in the info of each container.
 */
import { type Configuration, isInsecure } from './config.ts';
import { SCHEMA } from './config-schema.ts';

/** One thing that is open. */
export interface UnsafeSetting {
  /** As in `ContainerInfo.unsafe`. */
  readonly name: string;
  readonly means: string;
  /** How to close it. */
  readonly advice: string;
}

/** In the order of how much they open. */
export function unsafeSettings(configuration: Configuration): readonly UnsafeSetting[] {
  const { server, security } = configuration;
  if (isInsecure(configuration)) {
    return [
      {
        name: 'no-isolation',
        means: "jobs are plain processes of the daemon's user",
        advice: 'set server.container_klass to Warden::Container::Linux',
      },
    ];
  }
  const defaults = SCHEMA.security!.capabilities!;
  const usual = defaults.type === 'strings' ? (defaults.fallback ?? []) : [];
  const added = security.capabilities
    .map((name) => name.toLowerCase().replace(/^cap_/, ''))
    .filter((name) => !usual.includes(name));
  const settings: readonly (UnsafeSetting | false)[] = [
    server.allow_nested_warden && {
      name: 'nested-warden',
      means: 'root in a container can use every device of this host, and is its root',
      advice: 'set server.allow_nested_warden to false unless all containers are trusted',
    },
    !security.user_namespace && {
      name: 'no-user-namespace',
      means:
        "root in a container is the host's root, held by capabilities and the filter of system calls alone",
      advice: 'set security.user_namespace to true',
    },
    !security.seccomp && {
      name: 'no-seccomp',
      means: 'containers reach every system call of the kernel',
      advice: 'set security.seccomp to true',
    },
    !security.no_new_privileges && {
      name: 'new-privileges',
      means: 'programs in containers get other rights by their set-user-id bits and file capabilities',
      advice: 'set security.no_new_privileges to true',
    },
    security.unsafe_fuse && {
      name: 'fuse',
      means: 'containers may use /dev/fuse',
      advice: 'set security.unsafe_fuse to false',
    },
    ...added.map((name) => ({
      name: `capability-${name}`,
      means: `root in a container has CAP_${name.toUpperCase()}, which none has by default`,
      advice: `take ${name} out of security.capabilities`,
    })),
  ];
  return settings.filter((one) => one !== false);
}
