/**
 * Chooses the drivers: every concrete driver of warden is named here and nowhere else. Each candidate is probed for real; the
 * first that works is taken, and the choice is logged with the reasons against the others.
 */

import { cgroups, noCgroups } from '@warden/cgroup';
import { aufs } from '@warden/fs-aufs';
import { bind, noFilesystem } from '@warden/fs-bind';
import { overlayfs } from '@warden/fs-overlayfs';
import {
  type CgroupDriver,
  type DriverComponents,
  type DriverFactory,
  type FilesystemDriver,
  type InitDriver,
  type Logger,
  type NetworkDriver,
  type ProbeResult,
  type QuotaDriver,
  WardenError,
} from '@warden/interface';
import { type NftablesNetworkOptions, nftablesNetwork, noNetwork } from '@warden/net-nftables';
import { noQuota, projectQuota, quotaByRecord, sizedImage, userQuota } from '@warden/quota';
import { insecureInit, wshd } from '@warden/wshd';
import { type Configuration, isInsecure } from './config.ts';

/** One driver per role. */
export interface DriverSet {
  readonly init: InitDriver;
  readonly filesystem: FilesystemDriver;
  readonly network: NetworkDriver;
  readonly cgroup: CgroupDriver;
  readonly quota: QuotaDriver;
}

/** What was found out about one candidate. */
export interface Trial {
  readonly role: string;
  readonly driver: string;
  readonly result: ProbeResult;
  readonly chosen: boolean;
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
 * configured one does not.
 */
export async function selectDrivers(
  configuration: Configuration,
  components: DriverComponents,
): Promise<{ drivers: DriverSet; trials: readonly Trial[] }> {
  const { drivers: wanted, server } = configuration;
  const depot = server.container_depot_path;
  const name = wanted.name;
  const trials: Trial[] = [];
  const choose = <T extends { readonly name: string }>(role: Role<T>): Promise<T> =>
    chooseOne(role, components, trials);

  if (isInsecure(configuration)) return { drivers: await insecureDrivers(choose), trials };
  const init = await choose<InitDriver>({
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
  const filesystem = await choose<FilesystemDriver>({
    role: 'filesystem',
    wanted: wanted.filesystem,
    candidates: { overlayfs: () => overlayfs(), aufs: () => aufs(), bind: () => bind() },
    probe: (driver) => driver.probe(depot),
  });
  const network = await choose<NetworkDriver>({
    role: 'network',
    wanted: wanted.network,
    candidates: { nftables: () => nftablesNetwork(nftablesOptions(wanted)), none: () => noNetwork() },
    explicitOnly: ['none'],
    probe: (driver) => driver.probe(),
  });
  const cgroup = await choose<CgroupDriver>({
    role: 'cgroup',
    wanted: wanted.cgroup,
    candidates: { auto: () => cgroups({ prefix: name }), none: () => noCgroups() },
    explicitOnly: ['none'],
    probe: (driver) => driver.probe(),
  });
  const quotas: Candidates<QuotaDriver> = {
    project: () => projectQuota(),
    user: () => userQuota(),
    image: () => sizedImage({ size: wanted.quota_image_size }),
    none: () => noQuota(),
  };
  const isEnabled = server.quota.disk_quota_enabled === true;
  const quota = await choose<QuotaDriver>({
    role: 'quota',
    wanted: isEnabled ? wanted.quota : 'none',
    candidates: quotas,
    explicitOnly: ['none'],
    probe: (driver) => driver.probe(depot),
    advice: 'or run without disk limits: server.quota.disk_quota_enabled: false',
  });
  if (isEnabled && wanted.quota === 'auto') warnOfQuota(quota, components.logger);
  const earlier = Object.values(quotas).map((make) => make()({ logger: components.logger.child('quota') }));
  return {
    drivers: { init, filesystem, network, cgroup, quota: quotaByRecord(quota, earlier) },
    trials,
  };
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
async function insecureDrivers(
  choose: <T extends { readonly name: string }>(role: Role<T>) => Promise<T>,
): Promise<DriverSet> {
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

async function chooseOne<T extends { readonly name: string }>(
  role: Role<T>,
  components: DriverComponents,
  trials: Trial[],
): Promise<T> {
  const log = components.logger.child('drivers');
  const names = Object.hasOwn(role.candidates, role.wanted)
    ? [role.wanted]
    : Object.keys(role.candidates).filter((name) => !role.explicitOnly?.includes(name));
  const reasons: string[] = [];
  for (const name of names) {
    const driver = role.candidates[name]!()({ logger: components.logger.child(role.role) });
    const result = await role.probe(driver);
    trials.push({ role: role.role, driver: driver.name, result, chosen: result.ok });
    if (result.ok) {
      log.info('driver-chosen', {
        role: role.role,
        driver: driver.name,
        detail: result.detail,
        rejected: reasons,
      });
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
