/** What a running daemon can change, and what of a new configuration it cannot. */
import type { Configuration } from './config.ts';

/** One key with another value than before. */
export interface ChangedKey {
  readonly key: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** What came of a reload. */
export interface ReloadReport {
  /** In force now. */
  readonly changed: readonly ChangedKey[];
  /** As before, until the daemon is started again. */
  readonly needsRestart: readonly ChangedKey[];
}

/**
 * Keys that change without a restart. What concerns containers concerns those that are created, and jobs that
 * are started, from then on; only the network's rules change for everybody.
 */
const LIVE: ReadonlySet<string> = new Set([
  'logging.level',
  'logging.file',
  'logging.format',
  'logging.request_ids',
  'server.allowed_uids',
  'server.max_connections',
  'server.container_grace_time',
  'server.container_rootfs_path',
  'server.container_rlimits',
  'server.job_output_limit',
  'server.warm_containers',
  'server.prepared_shell_time',
  'server.drain_timeout',
  'network.pool_network',
  'network.pool_start_address',
  'network.pool_size',
  'network.allow_networks',
  'network.deny_networks',
  'network.allow_host_access',
  'network.dns_servers',
  'network.resolver_servers',
  'port.pool_start_port',
  'port.pool_size',
  'user.pool_size',
  'health_check_server.port',
  'monitoring.port',
  'monitoring.socket',
  'monitoring.page',
]);

/** Compares key by key. */
export function compareConfigurations(before: Configuration, after: Configuration): ReloadReport {
  const changes = sectionsOf(before).flatMap(([section, keys]) => {
    const others = after[section as keyof Configuration] as Readonly<Record<string, unknown>>;
    const names = [...new Set([...Object.keys(keys), ...Object.keys(others)])];
    return names
      .filter((name) => text(keys[name]) !== text(others[name]))
      .map((name): ChangedKey => ({ key: `${section}.${name}`, from: keys[name], to: others[name] }));
  });
  return {
    changed: changes.filter(({ key }) => LIVE.has(key)),
    needsRestart: changes.filter(({ key }) => !LIVE.has(key)),
  };
}

/** The configuration that is in force after a reload: what can change, changed, and everything else as before. */
export function merged(before: Configuration, after: Configuration): Configuration {
  const sections = sectionsOf(before).map(([section, keys]) => {
    const others = after[section as keyof Configuration] as Readonly<Record<string, unknown>>;
    const names = [...new Set([...Object.keys(keys), ...Object.keys(others)])];
    const values = names
      .map((name) => [name, (LIVE.has(`${section}.${name}`) ? others : keys)[name]] as const)
      .filter(([, value]) => value !== undefined);
    return [section, Object.fromEntries(values)];
  });
  return { ...after, ...Object.fromEntries(sections) };
}

function sectionsOf(
  configuration: Configuration,
): [section: string, keys: Readonly<Record<string, unknown>>][] {
  const { unknown: _unknown, warnings: _warnings, ...sections } = configuration;
  return Object.entries(sections);
}

/** Values of a configuration are data; process limits may be `bigint`. */
function text(value: unknown): string {
  return JSON.stringify(value, (_key, one) => (typeof one === 'bigint' ? `${one}n` : one)) ?? '';
}
