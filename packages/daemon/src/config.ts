/**
 * Loads the original's YAML configuration (spec config.md): YAML 1.1, so `0777` is octal; merged per section over the
 * defaults; every error names section, key, what was expected and what was found.
 */
import fs from 'node:fs';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { checkRules } from './config-rules.ts';
import { INSECURE, type KeyRule, SCHEMA } from './config-schema.ts';
import { checkValue, describe, expected, type Findings } from './config-values.ts';
import { isPlainMap, parseYaml } from './config-yaml.ts';
import { absoluteModule, isModule } from './driver-module.ts';

/** A section's checked values; absent optional keys are missing. */
export type Section = Readonly<Record<string, unknown>>;

/** The effective configuration. */
export interface Configuration {
  readonly server: Section & {
    readonly unix_domain_path: string;
    readonly unix_domain_permissions: number;
    readonly max_frame_bytes: number;
    readonly allowed_uids: readonly number[] | null;
    readonly max_connections: number;
    readonly container_klass: string;
    readonly container_rootfs_path?: string;
    readonly container_depot_path: string;
    readonly container_grace_time: number | null;
    readonly container_rlimits?: Readonly<Record<string, number | bigint>>;
    readonly warm_containers: number;
    readonly prepared_shell_time: number;
    readonly job_output_limit: number;
    readonly quota: { readonly disk_quota_enabled?: boolean };
    readonly allow_nested_warden: boolean;
    readonly drain_timeout: number | null;
    readonly pidfile?: string | null;
    readonly syslog_socket?: string | null;
  };
  readonly health_check_server: { readonly port: number | null };
  readonly monitoring: {
    readonly port: number | null;
    readonly socket: string | null;
    readonly socket_permissions: number;
    readonly page: boolean;
  };
  readonly logging: {
    readonly level: string;
    readonly file?: string | null;
    readonly syslog?: string | null;
    readonly format: 'json' | 'text';
    readonly request_ids: 'auto' | 'always' | 'never';
  };
  readonly network: {
    readonly pool_network: string;
    readonly pool_start_address?: string | null;
    readonly pool_size?: number | null;
    readonly release_delay: number;
    readonly mtu: number;
    readonly allow_networks: readonly string[];
    readonly deny_networks: readonly string[];
    readonly allow_host_access: boolean;
    readonly max_connections: number | null;
    readonly dns_servers: readonly string[];
    readonly resolver_servers: readonly string[];
  };
  readonly port: { readonly pool_start_port?: number; readonly pool_size?: number };
  readonly user: { readonly pool_start_uid: number; readonly pool_size: number };
  readonly security: {
    readonly user_namespace: boolean;
    readonly subordinate_ids: number;
    readonly capabilities: readonly string[];
    readonly no_new_privileges: boolean;
    readonly seccomp: boolean;
    readonly unsafe_fuse: boolean;
    readonly core_dumps: 'auto' | 'never';
    readonly pty_max: number;
    readonly shm_size: number | null;
    readonly dev_size: number;
  };
  readonly drivers: {
    readonly name: string;
    readonly filesystem: string;
    readonly overlay_volatile: boolean;
    readonly overlay_options: readonly string[];
    readonly network: string;
    readonly outward_address?: string | null;
    readonly inbound: 'published' | 'routed';
    readonly bandwidth: 'auto' | 'queue' | 'ends' | 'limit';
    readonly cgroup: string;
    readonly quota: string;
    readonly quota_btrfs: 'found' | 'simple' | 'full';
    readonly quota_image_size: number;
    readonly nice: number;
    readonly pids_limit: number | null;
    readonly durable: boolean;
    readonly hooks_path?: string | null;
    readonly hook_timeout: number;
    readonly hook_shell?: string | null;
  };
  readonly images: {
    readonly path: string | null;
    readonly max_size: number;
    readonly max_entries: number;
    readonly registries: readonly string[];
    readonly insecure_registries: readonly string[];
    readonly certificates: string | null;
  };
  readonly compat: {
    readonly cgroup_view: string | null;
    readonly job_sockets: boolean;
    readonly job_sockets_mode: number;
    readonly recovered_output: 'all' | 'remaining';
  };
  /** `section.key` of everything that was given but is not known. */
  readonly unknown: readonly string[];
  /** What was given and has no effect, or not the one it seems to have, in words. */
  readonly warnings: readonly string[];
}

const INSECURE_DEPOT = '/var/lib/warden/insecure';

/** Whether containers are plain processes (spec behaviour.md 16). */
export function isInsecure({ server }: Configuration): boolean {
  return server.container_klass === INSECURE;
}

/** Reads and checks a file. Errors: `INVALID_SPEC` naming the file and every wrong key. */
export function loadConfiguration(file: string | undefined): Configuration {
  if (file === undefined) return checkConfiguration({});
  return configurationFrom({ ...readFile(file), file, directory: path.dirname(path.resolve(file)) });
}

/** The values of a file, unchecked. Errors: `INVALID_SPEC` naming the file. */
export function readFile(file: string): Pick<GivenValues, 'given' | 'warnings'> {
  return naming(file, () => {
    const { value, warnings } = parseYaml(readText(file));
    return { given: value ?? {}, warnings };
  });
}

/**
 * Checks values. `directory`: where modules by relative paths lie. Errors: `INVALID_SPEC` naming the file, if
 * any, and every wrong key.
 */
export function configurationFrom({ given, warnings, file, directory }: GivenValues): Configuration {
  return naming(file, () => {
    const configuration = checkConfiguration(given, warnings);
    return directory === undefined
      ? configuration
      : { ...configuration, drivers: withModules(configuration.drivers, directory) };
  });
}

interface GivenValues {
  readonly given: unknown;
  readonly warnings: readonly string[];
  readonly file: string | undefined;
  readonly directory: string | undefined;
}

function naming<T>(file: string | undefined, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (file === undefined) throw cause;
    throw new WardenError('INVALID_SPEC', `configuration ${file}: ${(cause as Error).message}`, {
      cause,
      fields: { file },
    });
  }
}

/** Modules by relative paths lie beside the configuration. */
function withModules(drivers: Configuration['drivers'], directory: string): Configuration['drivers'] {
  const at = (value: string): string => (isModule(value) ? absoluteModule(value, directory) : value);
  const { filesystem, network, cgroup, quota } = drivers;
  return {
    ...drivers,
    filesystem: at(filesystem),
    network: at(network),
    cgroup: at(cgroup),
    quota: at(quota),
  };
}

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Checks parsed values against schema and rules, and fills defaults in. Errors: `INVALID_SPEC` listing
 * everything that is wrong.
 */
export function checkConfiguration(given: unknown, warnings: readonly string[] = []): Configuration {
  if (!isPlainMap(given)) {
    throw new WardenError(
      'INVALID_SPEC',
      `the configuration must be a map of sections, found ${describe(given)}`,
    );
  }
  const findings: Findings = {
    problems: [],
    unknown: Object.keys(given).filter((name) => !Object.hasOwn(SCHEMA, name)),
    warnings: [...warnings],
  };
  const sections: Record<string, unknown> = {};
  for (const [name, keys] of Object.entries(SCHEMA)) {
    const section = given[name] ?? {};
    sections[name] = checkSection(name, isPlainMap(section) ? section : {}, keys, findings);
    if (!isPlainMap(section)) findings.problems.push(`${name}: expected a map, found ${describe(section)}`);
  }
  const server = isPlainMap(given.server) ? given.server : {};
  fillServer(sections.server as Record<string, unknown>, server);
  const { unknown } = findings;
  const configuration = { ...sections, unknown, warnings: findings.warnings } as unknown as Configuration;
  const rules: Findings = { ...findings, problems: [] };
  checkRules(configuration, given, rules);
  findings.problems.push(...rules.problems.filter((problem) => !isEcho(problem, findings.problems)));
  refuse(findings);
  return configuration;
}

/**
 * In the place of a wrong value the rules have seen the default: what they say of that is nothing that
 * anybody has written.
 */
function isEcho(problem: string, earlier: readonly string[]): boolean {
  const wrong = earlier.map((one) => /^[\w.]+/.exec(one)?.[0] ?? one);
  return wrong.some((key) => problem.includes(key.includes('.') ? key : `${key}.`));
}

function refuse({ problems }: Findings): void {
  if (problems.length === 0) return;
  throw new WardenError('INVALID_SPEC', problems.join('; '), { fields: { problems } });
}

/** In the place of a quota map that nobody has written: what was written is equal at most. */
export const QUOTA_UNWRITTEN: Configuration['server']['quota'] = Object.freeze({ disk_quota_enabled: true });

/** Defaults that depend on what else is given. */
function fillServer(server: Record<string, unknown>, given: Record<string, unknown>): void {
  if (given.quota === undefined) server.quota = QUOTA_UNWRITTEN;
  // each backend has a depot of its own
  if (given.container_depot_path === undefined && server.container_klass === INSECURE)
    server.container_depot_path = INSECURE_DEPOT;
}

function checkSection(
  name: string,
  given: Record<string, unknown>,
  keys: Readonly<Record<string, KeyRule>>,
  findings: Findings,
): Section {
  const result: Record<string, unknown> = {};
  findings.unknown.push(
    ...Object.keys(given)
      .filter((key) => !Object.hasOwn(keys, key))
      .map((key) => `${name}.${key}`),
  );
  for (const [key, rule] of Object.entries(keys)) {
    const earlier = findings.problems.length;
    const checked = checkKey(`${name}.${key}`, rule, given[key], findings);
    const isWrong = findings.problems.length > earlier;
    // with the default in its place everything else can be looked at, too
    const value = isWrong && rule.type !== 'section' ? checkKey('', rule, undefined, findings) : checked;
    if (value !== undefined) result[key] = value;
  }
  return result;
}

/** The key's effective value; `undefined` when it has none. */
function checkKey(name: string, rule: KeyRule, value: unknown, findings: Findings): unknown {
  if (value === undefined) {
    if (rule.type === 'section') return {};
    return 'fallback' in rule ? rule.fallback : undefined;
  }
  if (value === null && rule.nullable) return null;
  if (rule.type !== 'section' && value !== null) return checkValue(name, rule, value, findings);
  if (rule.type === 'section' && isPlainMap(value)) return checkSection(name, value, rule.keys, findings);
  findings.problems.push(`${name}: expected ${expected(rule)}, found ${describe(value)}`);
  return undefined;
}
