/**
 * The configuration's keys as data: type, default, range and meaning of each (spec config.md section 2).
 * The loader checks with it and `docs/configuration.md` is proven equal to it.
 */

/** What a value must be. `nullable` keys take `null` for "off". */
export type KeyRule = {
  readonly about: string;
  readonly nullable?: boolean;
  readonly optional?: boolean;
} & (
  | {
      readonly type: 'integer';
      readonly min: number;
      readonly max: number;
      readonly fallback?: number | null;
    }
  | {
      readonly type: 'string';
      readonly fallback?: string | null;
      readonly oneOf?: readonly string[];
      /** A path or a package's name will do too, see `driver-module.ts`. */
      readonly orModule?: boolean;
    }
  | { readonly type: 'boolean'; readonly fallback?: boolean }
  | { readonly type: 'strings'; readonly fallback?: readonly string[] }
  | {
      readonly type: 'numbers';
      readonly min: number;
      readonly max: number;
      readonly fallback?: readonly number[] | null;
    }
  | { readonly type: 'integers'; readonly keys: readonly string[] }
  | { readonly type: 'section'; readonly keys: Readonly<Record<string, KeyRule>> }
);

/** The two values of `server.container_klass`. */
const LINUX = 'Warden::Container::Linux';
export const INSECURE = 'Warden::Container::Insecure';

const UINT32 = 0xffffffff;
/** The kernel's number for a process limit that is none. */
export const UNLIMITED_VALUE: bigint = 0xffff_ffff_ffff_ffffn;
const LIMITS = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'sigpending',
  'stack',
];

/** Every section and key. Sections and keys that are not here are ignored with a warning. */
export const SCHEMA: Readonly<Record<string, Readonly<Record<string, KeyRule>>>> = {
  server: {
    unix_domain_path: { type: 'string', fallback: '/tmp/warden.sock', about: 'client socket' },
    unix_domain_permissions: {
      type: 'integer',
      min: 0,
      max: 0o777,
      fallback: 0o660,
      about: 'mode of the socket file (octal in YAML 1.1)',
    },
    max_frame_bytes: {
      type: 'integer',
      min: 1_024,
      max: 1_073_741_824,
      fallback: 67_108_864,
      about: 'largest message a client may send (scripts and echo texts are inside)',
    },
    allowed_uids: {
      type: 'numbers',
      min: 0,
      max: UINT32 - 1,
      nullable: true,
      fallback: null,
      about:
        'users whose processes may be clients, beside root and the user of the daemon, as the kernel knows them; null: all whom the mode of the socket lets in',
    },
    max_connections: {
      type: 'integer',
      min: 1,
      max: 1_000_000,
      fallback: 1_024,
      about: 'most clients at a time; at most half of the open files the process may have',
    },
    container_klass: {
      type: 'string',
      fallback: LINUX,
      oneOf: [LINUX, INSECURE],
      about: 'backend',
    },
    container_rootfs_path: {
      type: 'string',
      optional: true,
      about:
        'read-only root of containers without their own; without it the embedded one (busybox and bash), which a daemon makes at its start in `/var/lib/warden/rootfs`',
    },
    container_depot_path: {
      type: 'string',
      fallback: '/var/lib/warden/containers',
      about:
        'parent of all container directories, at most 60 bytes; default of the insecure backend: `/var/lib/warden/insecure`',
    },
    container_grace_time: {
      type: 'integer',
      min: 0,
      max: UINT32,
      fallback: 300,
      nullable: true,
      about: 'seconds an unreferenced container lives; null: for ever',
    },
    container_rlimits: {
      type: 'integers',
      keys: LIMITS,
      optional: true,
      about:
        'default process limits of jobs, soft and hard alike; -1: none. Unknown ones have no effect. Those that are not named: core 0, memlock 65536, msgqueue 819200, nice 0, nofile 1024, nproc 1024, rtprio 0, sigpending 1024, stack 8388608, of others none',
    },
    warm_containers: {
      type: 'integer',
      min: 0,
      max: 1_024,
      fallback: 0,
      about:
        'containers prepared before anybody asks for them: a create that names neither root, image, mounts nor network claims one instead of making it. Each holds a network and a uid until then; both are given up when they are needed',
    },
    prepared_shell_time: {
      type: 'integer',
      min: 0,
      max: 60,
      fallback: 1,
      about:
        'seconds that a shell, started ahead behind the second of two scripts that came as soon as that, waits for the next one, which then takes a fifth to a half less time. Only while nothing else runs in the container; whatever is asked for but the same again ends it. Not with bind mounts, nor with hooks that run inside. 0: never',
    },
    job_output_limit: {
      type: 'integer',
      min: Number.MIN_SAFE_INTEGER,
      max: Number.MAX_SAFE_INTEGER,
      fallback: 10_485_760,
      about: 'bytes of output kept per job; 0 or less: no limit',
    },
    quota: {
      type: 'section',
      about: 'disk quota',
      keys: {
        disk_quota_enabled: {
          type: 'boolean',
          about: 'disk limits and disk statistics; on when the whole quota map is absent',
        },
      },
    },
    allow_nested_warden: {
      type: 'boolean',
      fallback: false,
      about: 'UNSAFE: containers may use all devices and run a warden',
    },
    drain_timeout: {
      type: 'integer',
      min: 1,
      max: 2_147_483,
      fallback: 300,
      nullable: true,
      about: 'seconds after which a drain (SIGUSR2) ends although requests are still running; null: never',
    },
    pidfile: { type: 'string', nullable: true, optional: true, about: 'file receiving the process id' },
    syslog_socket: {
      type: 'string',
      nullable: true,
      optional: true,
      about: 'datagram socket for log_tag output and for logging.syslog; default: /dev/log',
    },
  },
  health_check_server: {
    port: {
      type: 'integer',
      min: 0,
      max: 65_535,
      nullable: true,
      fallback: 2345,
      about: 'TCP port on 127.0.0.1 answering 200; null or 0: none',
    },
  },
  monitoring: {
    port: {
      type: 'integer',
      min: 0,
      max: 65_535,
      nullable: true,
      fallback: null,
      about:
        'TCP port on 127.0.0.1 answering `/metrics` (OpenMetrics), `/health` and `/ready`; null or 0: none (see docs/operations.md)',
    },
    socket: {
      type: 'string',
      nullable: true,
      fallback: null,
      about: 'unix socket answering the same; null: none',
    },
    socket_permissions: {
      type: 'integer',
      min: 0,
      max: 0o777,
      fallback: 0o660,
      about: 'mode of that socket (octal in YAML 1.1)',
    },
    page: {
      type: 'boolean',
      fallback: false,
      about:
        'the status page (docs/page.md) at `/` of that port and socket: whoever may connect sees names, addresses, usage, jobs and events of all containers',
    },
  },
  logging: {
    level: {
      type: 'string',
      fallback: 'info',
      oneOf: ['off', 'fatal', 'error', 'warn', 'info', 'debug', 'debug1', 'debug2', 'all'],
      about: 'verbosity',
    },
    file: {
      type: 'string',
      optional: true,
      nullable: true,
      about: 'append lines here instead of standard output; opened again at SIGHUP',
    },
    syslog: {
      type: 'string',
      optional: true,
      nullable: true,
      about: 'identity under which lines go to syslog, instead of to standard output, or beside logging.file',
    },
    format: {
      type: 'string',
      fallback: 'json',
      oneOf: ['json', 'text'],
      about: "the original's JSON lines, or lines for people",
    },
    request_ids: {
      type: 'string',
      fallback: 'auto',
      oneOf: ['auto', 'always', 'never'],
      about:
        'the id of a request in every line that is written because of it, also by drivers; auto: at debug, and with Node 24 always, where it costs nothing',
    },
  },
  network: {
    pool_network: {
      type: 'string',
      fallback: '10.254.0.0/22',
      about: 'network cut into /30 blocks, one per container',
    },
    pool_start_address: {
      type: 'string',
      optional: true,
      nullable: true,
      about: 'older form, with pool_size',
    },
    pool_size: {
      type: 'integer',
      min: 1,
      max: 1_048_576,
      optional: true,
      nullable: true,
      about: 'older form: number of /30 blocks',
    },
    release_delay: {
      type: 'integer',
      min: 0,
      max: 86_400,
      fallback: 5,
      about: 'seconds a released block stays unavailable',
    },
    mtu: { type: 'integer', min: 576, max: 65_535, fallback: 1500, about: 'of all container interfaces' },
    allow_networks: { type: 'strings', fallback: [], about: 'destinations every container may reach' },
    deny_networks: { type: 'strings', fallback: [], about: 'destinations denied before the final reject' },
    allow_host_access: { type: 'boolean', fallback: false, about: 'containers may reach the host' },
    max_connections: {
      type: 'integer',
      min: 1,
      max: 1_000_000,
      nullable: true,
      fallback: 4096,
      about:
        "connections and flows of datagrams from each container that the host keeps track of at a time, so that none fills the host's table; null: no limit",
    },
    dns_servers: {
      type: 'strings',
      fallback: [],
      about: "name servers for containers; empty: derived from the host's",
    },
    resolver_servers: {
      type: 'strings',
      fallback: [],
      about:
        "name servers, as address or address:port, that the daemon asks for containers with egress rules about names; empty: those of network.dns_servers, and without them the host's",
    },
  },
  port: {
    pool_start_port: {
      type: 'integer',
      min: 1,
      max: 65_535,
      optional: true,
      about: "first port for net_in; default: after the kernel's ephemeral range",
    },
    pool_size: {
      type: 'integer',
      min: 1,
      max: 65_535,
      optional: true,
      about:
        "number of ports, at least 1000; default: as many as there are from the end of the kernel's ephemeral range to 65000",
    },
  },
  user: {
    pool_start_uid: {
      type: 'integer',
      min: 1,
      max: 0x7fffffff,
      fallback: 10_000,
      about: 'first uid for containers',
    },
    pool_size: {
      type: 'integer',
      min: 1,
      max: 1_048_576,
      fallback: 256,
      about: 'number of uids: the largest number of containers',
    },
  },
  security: {
    user_namespace: {
      type: 'boolean',
      fallback: true,
      about:
        "users inside are others on the host; false is UNSAFE: root inside is then the host's root, held by capabilities and seccomp alone",
    },
    subordinate_ids: {
      type: 'integer',
      min: 65_536,
      max: UINT32,
      fallback: 536_870_912,
      about: "first of the host's ids for users inside: 65,536 per container, `user.pool_size` times",
    },
    capabilities: {
      type: 'strings',
      fallback: [
        'chown',
        'dac_override',
        'fowner',
        'fsetid',
        'kill',
        'setgid',
        'setuid',
        'setpcap',
        'net_bind_service',
        'sys_chroot',
      ],
      about: 'what root inside may at most (capabilities(7), without `CAP_`)',
    },
    no_new_privileges: {
      type: 'boolean',
      fallback: true,
      about:
        'set-user-id programs give nothing; false lets `su` and `sudo` work inside, as with the original',
    },
    seccomp: { type: 'boolean', fallback: true, about: 'the filter of system calls; false is UNSAFE' },
    unsafe_fuse: {
      type: 'boolean',
      fallback: false,
      about: 'UNSAFE: `/dev/fuse` inside, which gives the kernel file systems made by whoever is inside',
    },
    core_dumps: {
      type: 'string',
      fallback: 'auto',
      oneOf: ['auto', 'never'],
      about:
        "core files of jobs; auto: as their process limits say (by default none), and none where the host's core_pattern names a program; a socket that it names (Linux 6.16) gets them whatever is set here",
    },
    pty_max: { type: 'integer', min: 1, max: 1_048_576, fallback: 256, about: 'terminals per container' },
    shm_size: {
      type: 'integer',
      min: 4_096,
      max: 4 * 1024 ** 4 - 1_024,
      nullable: true,
      fallback: 64 * 1024 ** 2,
      about:
        "bytes of `/dev/shm`, and as many of System V shared memory; null: as the kernel has it, half of the host's memory",
    },
    dev_size: {
      type: 'integer',
      min: 16_384,
      max: 1024 ** 3,
      fallback: 64 * 1024,
      about: 'bytes of files in `/dev` itself',
    },
  },
  drivers: {
    name: {
      type: 'string',
      fallback: 'warden',
      about: 'prefix of cgroups and name of the nftables table; different for each warden on a host',
    },
    filesystem: {
      type: 'string',
      fallback: 'auto',
      oneOf: ['auto', 'overlayfs', 'aufs', 'bind'],
      orModule: true,
      about: 'root file system driver',
    },
    overlay_volatile: {
      type: 'boolean',
      fallback: true,
      about:
        'the overlayfs driver writes nothing to the disk for the sake of containers, which do not outlive a crash of the host (Linux 5.10); false: `fsync` inside waits for the disk',
    },
    overlay_options: {
      type: 'strings',
      fallback: [],
      about: 'further mount options of the overlayfs driver, as `redirect_dir=on` or `metacopy=on`',
    },
    network: {
      type: 'string',
      fallback: 'auto',
      oneOf: ['auto', 'nftables', 'none'],
      orModule: true,
      about: 'network driver',
    },
    outward_address: {
      type: 'string',
      optional: true,
      nullable: true,
      about:
        'IPv4 address at which net_in publishes ports, beside 127.0.0.1; default: the source address of packets to the outside, which is followed as it changes',
    },
    inbound: {
      type: 'string',
      fallback: 'published',
      oneOf: ['published', 'routed'],
      about:
        'what reaches containers from outside the host: published ports only, or everything routed to the pool, as the original had it',
    },
    bandwidth: {
      type: 'string',
      fallback: 'auto',
      oneOf: ['auto', 'queue', 'ends', 'limit'],
      about:
        'how bandwidth is limited: by queues at the host and an ifb device, by queues at both ends of the link, or by rules that drop the excess; auto: the first that works',
    },
    cgroup: {
      type: 'string',
      fallback: 'auto',
      oneOf: ['auto', 'none'],
      orModule: true,
      about: 'cgroup driver',
    },
    quota: {
      type: 'string',
      fallback: 'auto',
      oneOf: ['auto', 'project', 'user', 'btrfs', 'image', 'none'],
      orModule: true,
      about: 'disk quota driver',
    },
    quota_btrfs: {
      type: 'string',
      fallback: 'found',
      oneOf: ['found', 'simple', 'full'],
      about:
        'quota of the file system for the quota driver btrfs: as it is found, or switched on where it is off; simple accounting (Linux 6.7) costs least',
    },
    quota_image_size: {
      type: 'integer',
      min: 16 * 1024 ** 2,
      max: 16 * 1024 ** 4,
      fallback: 16 * 1024 ** 3,
      about:
        'bytes a container can hold at most with the quota driver image, limited or not; free space takes no room',
    },
    nice: { type: 'integer', min: -20, max: 19, fallback: 10, about: 'niceness of container processes' },
    pids_limit: {
      type: 'integer',
      min: 16,
      max: 4_194_304,
      nullable: true,
      fallback: 4096,
      about:
        'processes and threads per container; init starts a few jobs beside it, so that a full one can be looked into; null: no limit',
    },
    durable: {
      type: 'boolean',
      fallback: false,
      about:
        'flush records to the disk; only a power failure can tell the difference, and no container survives one',
    },
    hooks_path: {
      type: 'string',
      optional: true,
      nullable: true,
      about:
        "directory with the operator's hooks: each replaces the shipped one of the same name (see docs/hooks.md)",
    },
    hook_timeout: {
      type: 'integer',
      min: 1,
      max: 3_600,
      fallback: 30,
      about: 'seconds a hook may take; then it is killed and the creation fails',
    },
    hook_shell: {
      type: 'string',
      optional: true,
      nullable: true,
      about: 'static shell of the host that reads hook-child-after-pivot.sh; default: busybox or bash-static',
    },
  },
  images: {
    path: {
      type: 'string',
      nullable: true,
      fallback: null,
      about:
        'directory of images, for this daemon alone; null: `.images` in the depot. On a file system that can be a lower layer of an overlay',
    },
    max_size: {
      type: 'integer',
      min: 1,
      max: 1_073_741_824,
      fallback: 20_480,
      about:
        'MiB of all unpacked layers together, and of what pulls that broke off have left; pulls that run download no more, together, than the layers leave',
    },
    max_entries: {
      type: 'integer',
      min: 1,
      max: 100_000_000,
      fallback: 1_000_000,
      about: 'most files, directories and links of one layer',
    },
    registries: {
      type: 'strings',
      fallback: [],
      about:
        '`host[:port]` of registries from which clients may pull, of the hosts to which these redirect, and of their token services; empty: none',
    },
    insecure_registries: {
      type: 'strings',
      fallback: [],
      about: 'those of them that are spoken to without TLS',
    },
    certificates: {
      type: 'string',
      nullable: true,
      fallback: null,
      about: 'PEM file of further authorities for registries',
    },
  },
  compat: {
    job_sockets: {
      type: 'boolean',
      fallback: true,
      about:
        'jobs made by Spawn have stdout.sock, stderr.sock and status.sock in `<container_path>/jobs/<job_id>`, which log agents of old clients read',
    },
    job_sockets_mode: {
      type: 'integer',
      min: 0,
      max: 0o777,
      fallback: 0o660,
      about:
        'mode of those sockets (octal in YAML 1.1); connecting needs write permission, and the way through the depot, which a daemon makes for its own user alone and afterwards leaves as it is: `chmod 0711` on it lets others through to the sockets, and not to what containers write',
    },
    recovered_output: {
      type: 'string',
      fallback: 'all',
      oneOf: ['all', 'remaining'],
      about:
        'output of jobs that an earlier daemon started: all of it, or as the original had it: none of finished jobs, and of running ones what came after that daemon',
    },
    cgroup_view: {
      type: 'string',
      nullable: true,
      fallback: '/tmp/warden/cgroup',
      about:
        "directory with links `cpu`, `cpuacct`, `devices` and `memory` to this daemon's groups, where old programs look for `<subsystem>/instance-<id>`; cgroup v1 only; null: none",
    },
  },
};
