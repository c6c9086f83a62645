/**
 * Chooses the drivers: every concrete driver of warden is named here and nowhere else. Each candidate is
 * probed for real; the first that works is taken, and the choice is logged with the reasons against the
 * others. The roles know nothing of each other and are probed at the same time: the probe of init waits for
 * processes, that of an image for a program, and the others keep the thread busy.
 */

import { cgroups, noCgroups } from '@warden/cgroup';
import { aufs } from '@warden/fs-aufs';
import { bind, noFilesystem } from '@warden/fs-bind';
import { type OverlayfsOptions, overlayfs } from '@warden/fs-overlayfs';
import {
  type CgroupDriver,
  type DriverComponents,
  type DriverFactory,
  type FilesystemDriver,
  type ForeignRole,
  type InitDriver,
  type LogFields,
  type Logger,
  type NetworkDriver,
  type ProbeResult,
  type QuotaDriver,
  WardenError,
} from '@warden/interface';
import { type NftablesNetworkOptions, nftablesNetwork, noNetwork } from '@warden/net-nftables';
import { btrfsSubvolume, noQuota, projectQuota, quotaByRecord, sizedImage, userQuota } from '@warden/quota';
import { insecureInit, wshd } from '@warden/wshd';
import { type Configuration, isInsecure, QUOTA_UNWRITTEN } from './config.ts';
import { isModule, loadDriver } from './driver-module.ts';

/** One driver per role. */
export interface DriverSet {
  readonly init: InitDriver;
  readonly filesystem: FilesystemDriver;
  readonly network: NetworkDriver;
  readonly cgroup: CgroupDriver;
  readonly quota: QuotaDriver;
}

/** Drivers that whoever assembles a daemon brings along, by role; each stands in the place of the configured one. */
export interface GivenDrivers {
  readonly init?: DriverFactory<InitDriver>;
  readonly filesystem?: DriverFactory<FilesystemDriver>;
  readonly network?: DriverFactory<NetworkDriver>;
  readonly cgroup?: DriverFactory<CgroupDriver>;
  readonly quota?: DriverFactory<QuotaDriver>;
}

/** What was found out about one candidate. */
export interface Trial {
  readonly role: string;
  readonly driver: string;
  readonly result: ProbeResult;
  readonly chosen: boolean;
  /** The one thing to do so that it works, or works better. */
  readonly advice?: string;
}

type Candidates<T> = Readonly<Record<string, () => DriverFactory<T>>>;

interface Role<T> {
  readonly role: string;
  readonly wanted: string;
  /** In order of preference for `auto`. */
  readonly candidates: Candidates<T>;
  /** Candidates that `auto` never takes silently. */
  readonly explicitOnly?: readonly string[];
  probe(driver: T): Promise<ProbeResult>;
  /** What else an operator can do when none works. */
  readonly advice?: string;
}

/**
 * Probes and chooses. Errors: `UNSUPPORTED` naming the role and every candidate's reason when none works or the
 * configured one does not; `INVALID_SPEC` when a configured module makes no driver of the role.
 */
export async function selectDrivers(
  configuration: Configuration,
  components: DriverComponents,
  given: GivenDrivers = {},
): Promise<{ drivers: DriverSet; trials: readonly Trial[] }> {
  const choices: Choice[] = [];
  const log = components.logger.child('drivers');
  const choose: Choose = async (role) => {
    const choice: Choice = { trials: [] };
    choices.push(choice); // before anything is waited for: in the order of the roles
    return chooseOne(await withForeign(role, given), components, choice);
  };
  try {
    const depot = configuration.server.container_depot_path;
    const drivers = await chooseAll({ configuration, components, depot }, choose);
    return { drivers, trials: choices.flatMap(({ trials }) => trials) };
  } finally {
    for (const { chosen } of choices) if (chosen !== undefined) log.info('driver-chosen', chosen);
  }
}

/** What was found out about a role's candidates, told when all roles are done. */
interface Choice {
  readonly trials: Trial[];
  chosen?: LogFields;
}

/**
 * Probes every candidate, with layers below `depot`, and tells which would be chosen. Never throws because
 * none works.
 */
export async function surveyDrivers(
  configuration: Configuration,
  components: DriverComponents,
  depot: string,
): Promise<readonly Trial[]> {
  const choices: Trial[][] = [];
  const choose: Choose = async (role) => {
    const trials: Trial[] = [];
    choices.push(trials);
    return surveyOne(await withForeign(role, {}), components, trials);
  };
  const { network } = await chooseAll({ configuration, components, depot }, choose);
  await network.close();
  return choices.flat();
}

type Choose = <T extends { readonly name: string }>(role: Role<T>) => Promise<T>;

interface Place {
  readonly configuration: Configuration;
  readonly components: DriverComponents;
  readonly depot: string;
}

async function chooseAll({ configuration, components, depot }: Place, choose: Choose): Promise<DriverSet> {
  const { drivers: wanted, server } = configuration;
  const name = wanted.name;
  if (isInsecure(configuration)) return insecureDrivers(choose);
  const init = choose<InitDriver>({
    role: 'init',
    wanted: 'auto',
    candidates: {
      wshd: () =>
        wshd({
          ...(wanted.hooks_path ? { hooksDirectory: wanted.hooks_path } : {}),
          ...(wanted.hook_shell ? { hookShell: wanted.hook_shell } : {}),
          hookTimeout: wanted.hook_timeout,
        }),
    },
    probe: (driver) => driver.probe(),
  });
  const filesystem = choose<FilesystemDriver>({
    role: 'filesystem',
    wanted: wanted.filesystem,
    candidates: {
      overlayfs: () => overlayfs(overlayOptions(wanted)),
      aufs: () => aufs(),
      bind: () => bind(),
    },
    probe: (driver) => driver.probe(depot),
  });
  const network = choose<NetworkDriver>({
    role: 'network',
    wanted: wanted.network,
    candidates: { nftables: () => nftablesNetwork(nftablesOptions(wanted)), none: () => noNetwork() },
    explicitOnly: ['none'],
    probe: (driver) => driver.probe(),
  });
  const cgroup = choose<CgroupDriver>({
    role: 'cgroup',
    wanted: wanted.cgroup,
    candidates: {
      // hooks may mount what containers then have in common
      auto: () => cgroups({ prefix: name, reusesGroups: !wanted.hooks_path }),
      none: () => noCgroups(),
    },
    explicitOnly: ['none'],
    probe: (driver) => driver.probe(),
  });
  const { quota_btrfs } = wanted;
  const quotas: Candidates<QuotaDriver> = {
    project: () => projectQuota(),
    user: () => userQuota(),
    btrfs: () => btrfsSubvolume(quota_btrfs === 'found' ? {} : { switchOn: quota_btrfs }),
    image: () => sizedImage({ size: wanted.quota_image_size }),
    none: () => noQuota(),
  };
  const isEnabled = server.quota.disk_quota_enabled === true;
  const quota = choose<QuotaDriver>({
    role: 'quota',
    wanted: isEnabled ? wanted.quota : 'none',
    candidates: quotas,
    explicitOnly: ['none'],
    probe: (driver) => driver.probe(depot),
    advice: 'or run without disk limits: server.quota.disk_quota_enabled: false',
  });
  const chosen = await allInOrder([init, filesystem, network, cgroup, quota] as const);
  const isAsked = isEnabled && server.quota !== QUOTA_UNWRITTEN;
  if (isAsked && wanted.quota === 'auto') warnOfQuota(chosen[4], components.logger);
  const earlier = Object.values(quotas).map((make) => make()(componentsFor('quota', components)));
  return {
    init: chosen[0],
    filesystem: chosen[1],
    network: chosen[2],
    cgroup: chosen[3],
    quota: quotaByRecord(chosen[4], earlier),
  };
}

/**
 * Waits for each, whatever becomes of the others: no probe is left behind. Of several errors the first in the
 * order given is thrown.
 */
async function allInOrder<T extends readonly Promise<unknown>[]>(
  running: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(running);
  return await Promise.all(running);
}

/** The original kept disk limits by user quota; whoever brings its configuration is told what differs (DECISIONS). */
function warnOfQuota({ name, supports }: QuotaDriver, logger: Logger): void {
  if (name === 'user') return;
  logger.warn('quota-driver-differs', {
    driver: name,
    reason: 'disk_quota_enabled: true, and user quota, as the original used it, is not what was chosen here',
    softLimits: supports.softLimits,
    inodeLimits: supports.inodeLimits,
    countsRootFiles: supports.countsRootFiles,
    errno: supports.errno,
    advice: 'name a driver in drivers.quota to choose yourself',
  });
}

function overlayOptions({ overlay_volatile, overlay_options }: Configuration['drivers']): OverlayfsOptions {
  return { ...(!overlay_volatile && { volatile: false }), mountOptions: overlay_options };
}

function nftablesOptions(wanted: Configuration['drivers']): NftablesNetworkOptions {
  const { name, inbound, bandwidth, outward_address } = wanted;
  return {
    table: name,
    inbound,
    ...(bandwidth !== 'auto' && { bandwidth }),
    ...(outward_address && { outwardAddress: outward_address }),
  };
}

/** The backend without isolation leaves nothing to choose, and needs no rights for anything. */
async function insecureDrivers(choose: Choose): Promise<DriverSet> {
  const init = await choose<InitDriver>({
    role: 'init',
    wanted: 'insecure',
    candidates: { insecure: () => insecureInit() },
    probe: (driver) => driver.probe(),
  });
  const none = <T extends { readonly name: string }>(role: string, factory: DriverFactory<T>): Promise<T> =>
    choose<T>({
      role,
      wanted: 'none',
      candidates: { none: () => factory },
      probe: async () => ({ ok: true }),
    });
  return {
    init,
    filesystem: await none('filesystem', noFilesystem()),
    network: await none('network', noNetwork()),
    cgroup: await none('cgroup', noCgroups()),
    quota: await none('quota', noQuota({ layer: false })),
  };
}

/** The role with the driver of somebody else as its only candidate, if there is one. */
async function withForeign<T>(role: Role<T>, given: GivenDrivers): Promise<Role<T>> {
  const brought = given[role.role as keyof GivenDrivers] as DriverFactory<T> | undefined;
  if (brought === undefined && !isModule(role.wanted)) return role;
  const factory =
    brought ??
    ((await loadDriver(role.role as ForeignRole, role.wanted)) as DriverFactory<unknown> as DriverFactory<T>);
  return { ...role, wanted: 'foreign', candidates: { foreign: () => factory } };
}

/** The configured candidate, or all that may be taken without being named. */
function namesOf<T>({ candidates, wanted, explicitOnly }: Role<T>): readonly string[] {
  if (Object.hasOwn(candidates, wanted)) return [wanted];
  return Object.keys(candidates).filter((name) => !explicitOnly?.includes(name));
}

function componentsFor(role: string, components: DriverComponents): DriverComponents {
  return { ...components, logger: components.logger.child(role) };
}

/** What an operator does so that a candidate works, by role and name. */
const ADVICE: Readonly<Record<string, string>> = {
  'init wshd': 'install the optional package @warden/wshd-linux-<arch>, or npm run build:native; run as root',
  'filesystem overlayfs':
    'modprobe overlay, and put server.container_depot_path on ext4, xfs, btrfs or tmpfs',
  'filesystem aufs': 'nothing: overlayfs is better and in every kernel',
  'network nftables': 'modprobe veth nf_tables nft_nat nft_ct; run as root',
  'cgroup auto': 'mount cgroup v2 at /sys/fs/cgroup, or the v1 controllers cpu, memory, devices',
  'quota project': 'put the depot on ext4 (tune2fs -O project,quota) or xfs and mount it with prjquota',
  'quota user': 'mount the file system of the depot with usrquota (ext4 feature quota, or xfs uquota)',
  'quota btrfs':
    'put the depot on btrfs, and run btrfs quota enable on it or set drivers.quota_btrfs to simple',
  'quota image': 'install e2fsprogs and modprobe loop',
};

async function surveyOne<T extends { readonly name: string }>(
  role: Role<T>,
  components: DriverComponents,
  trials: Trial[],
): Promise<T> {
  const eligible = namesOf(role);
  let chosen: T | undefined;
  let last: T | undefined;
  for (const [name, make] of Object.entries(role.candidates)) {
    const driver = make()(componentsFor(role.role, components));
    const result = await role.probe(driver);
    const isChosen = result.ok && chosen === undefined && eligible.includes(name);
    const advice = ADVICE[`${role.role} ${name}`];
    trials.push({
      role: role.role,
      driver: driver.name,
      result,
      chosen: isChosen,
      ...(!result.ok && advice !== undefined && { advice }),
    });
    if (isChosen) chosen = driver;
    last = driver;
  }
  return (chosen ?? last)!;
}

async function chooseOne<T extends { readonly name: string }>(
  role: Role<T>,
  components: DriverComponents,
  choice: Choice,
): Promise<T> {
  const names = namesOf(role);
  const reasons: string[] = [];
  for (const name of names) {
    const driver = role.candidates[name]!()(componentsFor(role.role, components));
    const result = await role.probe(driver);
    choice.trials.push({ role: role.role, driver: driver.name, result, chosen: result.ok });
    if (result.ok) {
      const { detail } = result;
      choice.chosen = { role: role.role, driver: driver.name, detail, rejected: reasons };
      return driver;
    }
    reasons.push(`${driver.name}: ${result.reason}`);
  }
  const advice = role.advice === undefined ? '' : ` (${role.advice})`;
  throw new WardenError(
    'UNSUPPORTED',
    `no ${role.role} driver works on this host: ${reasons.join('; ')}${advice}`,
    {
      fields: { operation: 'choose driver', role: role.role, wanted: role.wanted, reasons },
    },
  );
}
