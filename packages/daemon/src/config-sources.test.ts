import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadFromSources, parseSetting } from './config-sources.ts';
import { parseOptions } from './options.ts';

let directory: string;
let file: string;
let system: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-sources-'));
  file = path.join(directory, 'given.yml');
  system = path.join(directory, 'system.yml');
  fs.writeFileSync(file, 'server: {unix_domain_path: /from/file, max_connections: 7}\n');
  fs.writeFileSync(system, 'server: {unix_domain_path: /from/system}\n');
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const socketOf = (words: readonly string[], environment: Record<string, string> = {}, at = system): string =>
  loadFromSources(parseOptions(words), environment, at).configuration.server.unix_domain_path;

describe('settings', () => {
  it('are by flags over environment over file over defaults [operations paths]', () => {
    const variable = { WARDEN_SERVER__UNIX_DOMAIN_PATH: '/from/environment' };
    const nothing = path.join(directory, 'nothing.yml');
    expect(socketOf([], {}, nothing)).toBe('/tmp/warden.sock');
    expect(socketOf(['--config', file])).toBe('/from/file');
    expect(socketOf(['--config', file], variable)).toBe('/from/environment');
    expect(socketOf(['--config', file, '--socket', '/from/flag'], variable)).toBe('/from/flag');
    expect(socketOf(['--socket', '/from/flag', '--set', 'server.unix_domain_path=/from/set'])).toBe(
      '/from/set',
    );
  });

  it('are in the file of --config, else of WARDEN_CONFIG, else of the system [operations paths]', () => {
    expect(socketOf([])).toBe('/from/system');
    expect(socketOf([], { WARDEN_CONFIG: file })).toBe('/from/file');
    expect(socketOf(['--config', system], { WARDEN_CONFIG: file })).toBe('/from/system');
    expect(socketOf([], { WARDEN_CONFIG: '' })).toBe('/from/system');
    expect(() => socketOf([], { WARDEN_CONFIG: `${file}.missing` })).toThrow(/given\.yml\.missing: cannot/);
    expect(loadFromSources({ settings: [] }, {}, system).file).toBe(system);
    expect(loadFromSources({ settings: [] }, {}, `${system}.missing`).file).toBeUndefined();
  });

  it('leave the other keys of the file alone, also those of a map in a section', () => {
    const words = parseOptions(['-c', file, '--set', 'server.quota.disk_quota_enabled=no']);
    const { configuration, overrides } = loadFromSources(words, { WARDEN_LOGGING__LEVEL: 'warn' });
    expect(configuration.server).toMatchObject({ max_connections: 7, quota: { disk_quota_enabled: false } });
    expect(configuration.logging.level).toBe('warn');
    expect([...overrides]).toEqual([
      ['logging.level', 'WARDEN_LOGGING__LEVEL'],
      ['server.quota.disk_quota_enabled', '--set server.quota.disk_quota_enabled'],
    ]);
  });

  it('by variables and --set are YAML 1.1; by short flags text', () => {
    const words = parseOptions([
      '--set=server.unix_domain_permissions=0777',
      '--set=network.allow_networks=[10.0.0.0/8, 192.0.2.1]',
      '--set=server.container_grace_time=~',
      '--socket=017',
    ]);
    const { configuration } = loadFromSources(words, {}, `${system}.missing`);
    expect(configuration.server).toMatchObject({
      unix_domain_permissions: 0o777,
      container_grace_time: null,
      unix_domain_path: '017',
    });
    expect(configuration.network.allow_networks).toEqual(['10.0.0.0/8', '192.0.2.1']);
  });

  it('that are wrong name the flag or the variable that is to blame', () => {
    expect(() => socketOf([], { WARDEN_SERVER__MAX_CONNECTIONS: 'many' })).toThrow(
      'server.max_connections: expected an integer from 1 to 1000000, found "many" (server.max_connections is from WARDEN_SERVER__MAX_CONNECTIONS)',
    );
    expect(() => socketOf(['--log-level', 'loud'])).toThrow(/\(logging\.level is from --log-level\)/);
    expect(() => socketOf(['--set', 'network.dns_servers=[x]'])).toThrow(
      /dns_servers\[0\]: .* \(network\.dns_servers is from --set network\.dns_servers\)/,
    );
    expect(() => socketOf(['--set', 'server.pidfile.deep=x', '--pidfile', '/x'])).not.toThrow();
    expect(() => socketOf([], { WARDEN_SERVER__PIDFILE: '[' })).toThrow(/^WARDEN_SERVER__PIDFILE: not valid/);
  });

  it('of a section that is nearly one of ours are told, too', () => {
    const { configuration } = loadFromSources(
      { settings: [] },
      { WARDEN_NETWRK__MTU: '1400' },
      `${system}.missing`,
    );
    expect(configuration.unknown).toEqual(['netwrk']);
  });

  it('of unknown keys are told, and variables of others are none of ours', () => {
    const environment = { WARDEN_SERVER__TYPO: '1', WARDEN_DEBUG: 'net', WARDEN_ELSE__KEY: '1' };
    const { configuration } = loadFromSources({ settings: [] }, environment, `${system}.missing`);
    expect(configuration.unknown).toEqual(['server.typo']);
  });

  it.each([
    ['netwrk.mtu', "; did you mean 'network.mtu'?"],
    ['server.container_depot_pth', "; did you mean 'server.container_depot_path'?"],
    ['server.quota.disk_quota_enable', "; did you mean 'server.quota.disk_quota_enabled'?"],
    ['colour.of_the_sky', ''],
    ['constructor.name', ''],
  ])('by --set %s, which is no key, are refused, also where a file has the same', (key, meant) => {
    const message = `--set ${key}: there is no such key${meant}`;
    const [section, ...rest] = key.split('.');
    fs.writeFileSync(file, JSON.stringify({ [section!]: { [rest[0]!]: rest.length > 1 ? {} : 1 } }));
    for (const words of [[], ['--config', file]])
      expect(() => socketOf([...words, '--set', `${key}=1`])).toThrow(
        expect.objectContaining({ code: 'INVALID_SPEC', message }),
      );
    if (rest.length === 1) expect(() => socketOf(['--config', file])).not.toThrow();
  });

  it.each(['', 'server', 'server=1', '=1', 'server.=1', '.x=1', 'server..x=1'])(
    'are not taken from --set %j',
    (text) => {
      expect(() => parseSetting(text)).toThrow(/expected section\.key=VALUE/);
    },
  );
});
