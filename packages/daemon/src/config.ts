/**
 * Loads the original's YAML configuration (spec config.md): YAML 1.1, so `0777` is octal; merged per section over the
 * defaults; every error names section, key, what was expected and what was found.
 */
import fs from 'node:fs';
import { WardenError } from '@warden/interface';
import { parse } from 'yaml';
import { type KeyRule, SCHEMA } from './config-schema.ts';

/** A section's checked values; absent optional keys are missing. */
export type Section = Readonly<Record<string, unknown>>;

/** The effective configuration. */
export interface Configuration {
  readonly server: Section & {
    readonly unix_domain_path: string;
    readonly unix_domain_permissions: number;
    readonly max_frame_bytes: number;
    readonly max_connections: number;
    readonly container_klass: string;
    readonly container_rootfs_path?: string;
    readonly container_depot_path: string;
    readonly container_grace_time: number | null;
    readonly container_rlimits?: Readonly<Record<string, number>>;
    readonly job_output_limit: number;
    readonly quota: { readonly disk_quota_enabled?: boolean };
    readonly allow_nested_warden: boolean;
    readonly drain_timeout: number | null;
    readonly pidfile?: string | null;
    readonly syslog_socket?: string | null;
  };
  readonly health_check_server: { readonly port: number | null };
  readonly logging: {
    readonly level: string;
    readonly file?: string | null;
    readonly syslog?: string | null;
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
    readonly dns_servers: readonly string[];
  };
  readonly port: { readonly pool_start_port?: number; readonly pool_size?: number };
  readonly user: { readonly pool_start_uid: number; readonly pool_size: number };
  readonly security: {
    readonly user_namespace: boolean;
    readonly subordinate_ids: number;
    readonly capabilities: readonly string[];
    readonly no_new_privileges: boolean;
    readonly seccomp: boolean;
  };
  readonly drivers: {
    readonly name: string;
    readonly filesystem: string;
    readonly network: string;
    readonly outward_address?: string | null;
    readonly inbound: 'published' | 'routed';
    readonly bandwidth: 'auto' | 'queue' | 'limit';
    readonly cgroup: string;
    readonly quota: string;
    readonly quota_image_size: number;
    readonly nice: number;
    readonly pids_limit: number | null;
    readonly durable: boolean;
    readonly hooks_path?: string | null;
    readonly hook_timeout: number;
    readonly hook_shell?: string | null;
  };
  readonly compat: {
    readonly cgroup_view: string | null;
    readonly job_sockets: boolean;
    readonly job_sockets_mode: number;
    readonly recovered_output: 'all' | 'remaining';
  };
  /** `section.key` of everything that was given but is not known. */
  readonly unknown: readonly string[];
}

/** The two values of `server.container_klass`. */
export const LINUX = 'Warden::Container::Linux';
export const INSECURE = 'Warden::Container::Insecure';

const INSECURE_DEPOT = '/var/lib/warden/insecure';

/** Whether containers are plain processes (spec behaviour.md 16). */
export function isInsecure({ server }: Configuration): boolean {
  return server.container_klass === INSECURE;
}

/** Reads and checks a file. Errors: `INVALID_SPEC` naming the file and every wrong key. */
export function loadConfiguration(file: string | undefined): Configuration {
  if (file === undefined) return checkConfiguration({});
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw new WardenError(
      'INVALID_SPEC',
      `cannot read the configuration ${file}: ${(cause as Error).message}`,
      { cause, fields: { file } },
    );
  }
  try {
    return checkConfiguration(parse(text, { version: '1.1', maxAliasCount: 100 }) ?? {});
  } catch (cause) {
    throw new WardenError('INVALID_SPEC', `configuration ${file}: ${(cause as Error).message}`, {
      cause,
      fields: { file },
    });
  }
}

/** Checks parsed values against the schema and fills defaults in. Errors: `INVALID_SPEC` listing every wrong key. */
export function checkConfiguration(given: unknown): Configuration {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new WardenError(
      'INVALID_SPEC',
      `the configuration must be a map of sections, found ${describe(given)}`,
    );
  }
  const problems: string[] = [];
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(SCHEMA, name));
  const result: Record<string, unknown> = {};
  for (const [name, keys] of Object.entries(SCHEMA)) {
    const section = (given as Record<string, unknown>)[name] ?? {};
    if (typeof section !== 'object' || Array.isArray(section))
      problems.push(`${name}: expected a map, found ${describe(section)}`);
    else result[name] = checkSection(name, section as Record<string, unknown>, keys, { problems, unknown });
  }
  fillServer(result.server as Record<string, unknown> | undefined, given as { server?: unknown });
  if (problems.length > 0)
    throw new WardenError('INVALID_SPEC', problems.join('; '), { fields: { problems } });
  return { ...result, unknown } as unknown as Configuration;
}

/** Defaults that depend on what else is given. */
function fillServer(server: Record<string, unknown> | undefined, given: { server?: unknown }): void {
  if (server === undefined) return;
  const { quota, container_depot_path } = (given.server ?? {}) as Record<string, unknown>;
  if (quota === undefined) server.quota = { disk_quota_enabled: true };
  // each backend has a depot of its own
  if (container_depot_path === undefined && server.container_klass === INSECURE)
    server.container_depot_path = INSECURE_DEPOT;
}

interface Findings {
  readonly problems: string[];
  readonly unknown: string[];
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
    const value = given[key];
    if (value === undefined) {
      if (rule.type === 'section') result[key] = {};
      else if ('fallback' in rule && rule.fallback !== undefined) result[key] = rule.fallback;
      continue;
    }
    if (value === null) {
      if (rule.nullable) result[key] = null;
      else findings.problems.push(`${name}.${key}: expected ${expected(rule)}, found null`);
      continue;
    }
    if (rule.type === 'section' && typeof value === 'object' && !Array.isArray(value)) {
      result[key] = checkSection(`${name}.${key}`, value as Record<string, unknown>, rule.keys, findings);
    } else if (accepts(rule, value)) {
      result[key] = value;
    } else {
      findings.problems.push(`${name}.${key}: expected ${expected(rule)}, found ${describe(value)}`);
    }
  }
  return result;
}

function accepts(rule: KeyRule, value: unknown): boolean {
  switch (rule.type) {
    case 'integer':
      return Number.isSafeInteger(value) && (value as number) >= rule.min && (value as number) <= rule.max;
    case 'string':
      return (
        typeof value === 'string' &&
        !value.includes('\0') &&
        (rule.oneOf === undefined || rule.oneOf.includes(value))
      );
    case 'boolean':
      return typeof value === 'boolean';
    case 'strings':
      return Array.isArray(value) && value.every((item) => typeof item === 'string');
    case 'integers':
      return (
        typeof value === 'object' &&
        !Array.isArray(value) &&
        Object.entries(value as object).every(
          ([key, item]) => rule.keys.includes(key) && Number.isSafeInteger(item) && item >= -1,
        )
      );
    case 'section':
      return false;
  }
}

function expected(rule: KeyRule): string {
  switch (rule.type) {
    case 'integer':
      return `an integer from ${rule.min} to ${rule.max}${rule.nullable ? ' or null' : ''}`;
    case 'string':
      return rule.oneOf ? `one of ${rule.oneOf.join(', ')}` : 'a string';
    case 'boolean':
      return 'true or false';
    case 'strings':
      return 'a list of strings';
    case 'integers':
      return `a map of integers with keys among ${rule.keys.join(' ')}`;
    case 'section':
      return 'a map';
  }
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
