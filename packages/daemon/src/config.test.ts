import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ERROR_CODES } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkConfiguration, loadConfiguration } from './config.ts';
import { SCHEMA } from './config-schema.ts';
import { describeConfiguration, describeErrors } from './describe.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-config-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

function load(text: string): ReturnType<typeof loadConfiguration> {
  const file = path.join(directory, 'wardend.yml');
  fs.writeFileSync(file, text);
  return loadConfiguration(file);
}

describe('the configuration (spec config.md)', () => {
  it('reads the sample shipped upstream (section 4)', () => {
    const { server, network, user } = load(`---
server:
  container_klass: Warden::Container::Linux
  container_grace_time: 300
  unix_domain_permissions: 0777
  container_rootfs_path: /tmp/warden/rootfs
  container_depot_path: /tmp/warden/containers
  container_rlimits:
    as: 4294967296
    nofile: 8192
    nproc: 512
  quota:
    disk_quota_enabled: true
  allow_nested_warden: false
health_check_server:
  port: 2345
logging:
  level: debug2
network:
  pool_start_address: 10.254.0.0
  pool_size: 256
  mtu: 1500
user:
  pool_start_uid: 10000
  pool_size: 256
`);
    expect(server.unix_domain_permissions).toBe(0o777);
    expect(server.container_rlimits).toEqual({ as: 4_294_967_296, nofile: 8_192, nproc: 512 });
    expect(network).toMatchObject({ pool_start_address: '10.254.0.0', pool_size: 256 });
    expect(user.pool_size).toBe(256);
  });

  it('knows YAML 1.1: null as ~, booleans as yes and no', () => {
    const { server, network } = load(
      'server: {container_grace_time: ~, allow_nested_warden: yes}\nnetwork: {allow_host_access: no}\n',
    );
    expect([server.container_grace_time, server.allow_nested_warden, network.allow_host_access]).toEqual([
      null,
      true,
      false,
    ]);
  });

  it('merges per section: a given quota map replaces the default whole', () => {
    expect(checkConfiguration({}).server.quota.disk_quota_enabled).toBe(true);
    expect(checkConfiguration({ server: {} }).server.quota.disk_quota_enabled).toBe(true);
    expect(checkConfiguration({ server: { quota: {} } }).server.quota.disk_quota_enabled).toBeUndefined();
  });

  it('takes an empty file and an empty section as absent', () => {
    expect(load('')).toEqual(checkConfiguration({}));
    expect(load('server:\n')).toEqual(checkConfiguration({}));
  });

  it.each([
    [
      { server: { container_grace_time: 'invalid' } },
      /server\.container_grace_time: expected an integer from 0 .* or null, found "invalid"/,
    ],
    [{ server: { container_grace_time: 1.5 } }, /server\.container_grace_time/],
    [
      { server: { container_klass: 'Nothing' } },
      /server\.container_klass: expected one of Warden::Container::Linux/,
    ],
    [{ network: { allow_networks: [null] } }, /network\.allow_networks: expected a list of strings/],
    [{ network: { allow_networks: null } }, /network\.allow_networks: .* found null/],
    [{ server: { container_rlimits: { nofiles: 1 } } }, /server\.container_rlimits/],
    [{ port: { pool_size: 0 } }, /port\.pool_size/],
    [{ logging: 'loud' }, /logging: expected a map, found "loud"/],
    [[], /map of sections, found a list/],
  ])('refuses %j naming section and key', (given, message) => {
    expect(() => checkConfiguration(given)).toThrow(message);
  });

  it('reports every wrong key at once', () => {
    expect(() => checkConfiguration({ server: { pidfile: 1 }, user: { pool_size: 'x' } })).toThrow(
      /server\.pidfile.*; user\.pool_size/,
    );
  });

  it('lists what it does not know instead of failing', () => {
    expect(checkConfiguration({ server: { colour: 'red' }, extra: {} }).unknown).toEqual([
      'extra',
      'server.colour',
    ]);
  });

  it('names a file that is missing or no YAML', () => {
    expect(() => loadConfiguration('/nonexistent/wardend.yml')).toThrow(/\/nonexistent\/wardend\.yml/);
    expect(() => load('server: [unclosed')).toThrow(/wardend\.yml/);
  });
});

describe('the documents', () => {
  const document = (name: string): string =>
    fs.readFileSync(path.resolve(import.meta.dirname, '../../../docs', name), 'utf8');
  it('docs/configuration.md says what the schema says', () =>
    expect(document('configuration.md')).toBe(describeConfiguration(SCHEMA)));
  it('docs/errors.md lists every code', () =>
    expect(document('errors.md')).toBe(describeErrors(ERROR_CODES)));
});
