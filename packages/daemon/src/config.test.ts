import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ERROR_CODES, type WardenError } from '@warden/interface';
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

describe('YAML 1.1 [config 1]', () => {
  it('takes 0777 as octal, and underscores and hexadecimal numbers [config 1 YAML dialect]', () => {
    const { server, user } = load(
      'server: {unix_domain_permissions: 0777, job_output_limit: 10_485_760}\nuser: {pool_start_uid: 0x2710}\n',
    );
    expect([server.unix_domain_permissions, server.job_output_limit, user.pool_start_uid]).toEqual([
      0o777, 10_485_760, 10_000,
    ]);
  });

  it('says what is meant by a mode without its leading zero', () => {
    expect(() => load('server: {unix_domain_permissions: 777}')).toThrow(
      'server.unix_domain_permissions: expected a mode from 0 to 0777, found 777 (octal 01411; a mode has a leading zero)',
    );
  });

  it.each([
    [
      'server: {pidfile: 12:30}',
      /server\.pidfile: expected a string that is not empty or null, found 750 \(if text is meant, put it in quotes/,
    ],
    ['server: {pidfile: 2001-01-01}', /server\.pidfile: .*found the date 2001-01-01T.*put it in quotes/],
    ['server: {pidfile: yes}', /server\.pidfile: .*found true .*put it in quotes/],
    ['server: {pidfile: !!binary aGFsbG8=}', /server\.pidfile: .*found a value of another YAML type/],
    ['server: {pidfile: ""}', /server\.pidfile: .*found ""/],
    ['server: !!set {pidfile}', /server: expected a map, found a value of another YAML type/],
    ['network: {allow_networks: [1.5]}', /network\.allow_networks\[0\]: expected a string.*found 1\.5/],
    [
      'network: {mtu: "1500"}',
      /network\.mtu: expected an integer from 576 to 65535, found "1500" \(a number has no quotes\)/,
    ],
    ['network: {allow_host_access: y}', /network\.allow_host_access: expected true or false, found "y"/],
  ])('explains the trap in %s', (text, message) => {
    if (text.endsWith(': y}')) text = text.replace('y}', '"y"}');
    expect(() => load(text)).toThrow(message);
  });

  it('refuses a key that is given twice, with its line', () => {
    expect(() => load('user:\n  pool_size: 1\n  pool_size: 2\n')).toThrow(
      /wardend\.yml: not valid YAML 1\.1: Map keys must be unique at line 3/,
    );
    expect(() => load('user: {}\nserver: {}\nuser: {}\n')).toThrow(/unique at line 3/);
  });

  it('follows anchors and merge keys', () => {
    const { user, network } = load(
      'x-base: &base {pool_size: 32}\nuser:\n  <<: *base\n  pool_start_uid: 20000\nnetwork: {pool_start_address: &a 10.1.0.0, pool_size: 4, dns_servers: [*a]}\n',
    );
    expect(user).toEqual({ pool_size: 32, pool_start_uid: 20_000 });
    expect(network.dns_servers).toEqual(['10.1.0.0']);
  });

  it('refuses aliases that explode or refer to themselves', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x,x]',
      ...['b', 'c', 'd', 'e'].map(
        (name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcd'[at]}`).join(',')}]`,
      ),
    ];
    expect(() => load(bomb.join('\n'))).toThrow(/wardend\.yml: not valid YAML 1\.1/);
    expect(() => load('server: &s {quota: *s}')).toThrow(/wardend\.yml/);
  });

  it('keeps numbers beyond 2^53 exact, and refuses them where they make no sense', () => {
    const { server } = load('server: {container_rlimits: {as: 18446744073709551615, nofile: -1}}');
    expect(server.container_rlimits).toEqual({ as: 18_446_744_073_709_551_615n, nofile: -1 });
    expect(() => load('server: {job_output_limit: 18446744073709551615}')).toThrow(
      'server.job_output_limit: expected an integer, found 18446744073709551615',
    );
    expect(() => load('server: {container_rlimits: {as: 18446744073709551616}}')).toThrow(
      /server\.container_rlimits\.as: expected an integer from 0 to 18446744073709551615, or -1 for no limit/,
    );
  });

  it('warns of a tag that means nothing to it', () => {
    expect(load('server: !ruby/object:Hash {pidfile: /run/p}').warnings).toEqual([
      expect.stringContaining('ruby/object'),
    ]);
  });
});

describe('the configuration (spec config.md)', () => {
  it('knows both backends, and names them when another one is asked for [config 2 container_klass]', () => {
    for (const container_klass of ['Warden::Container::Linux', 'Warden::Container::Insecure'])
      expect(checkConfiguration({ server: { container_klass } }).server.container_klass).toBe(
        container_klass,
      );
    expect(() => checkConfiguration({ server: { container_klass: 'Warden::Container::Docker' } })).toThrow(
      'server.container_klass: expected one of Warden::Container::Linux, Warden::Container::Insecure, found "Warden::Container::Docker"',
    );
  });

  it('gives each backend a depot of its own by default [config 2 container_depot_path]', () => {
    const depot = (server: object): string => checkConfiguration({ server }).server.container_depot_path;
    expect(depot({})).toBe('/var/lib/warden/containers');
    expect(depot({ container_klass: 'Warden::Container::Insecure' })).toBe('/var/lib/warden/insecure');
    expect(depot({ container_klass: 'Warden::Container::Insecure', container_depot_path: '/d' })).toBe('/d');
  });

  it('warns of process limits it does not know and takes the others [config 2 container_rlimits]', () => {
    const { server, warnings } = checkConfiguration({
      server: { container_rlimits: { nofiles: 1, nofile: 2 } },
    });
    expect(server.container_rlimits).toEqual({ nofile: 2 });
    expect(warnings).toEqual([
      expect.stringMatching(/^server\.container_rlimits\.nofiles has no effect; there are as core/),
    ]);
  });

  it('takes an output limit of zero or less as none [config 2 job_output_limit]', () => {
    for (const job_output_limit of [0, -1, -5_000])
      expect(checkConfiguration({ server: { job_output_limit } }).server.job_output_limit).toBe(
        job_output_limit,
      );
  });

  it('takes null as no grace time [config 2 container_grace_time]', () => {
    expect(load('server: {container_grace_time: ~}').server.container_grace_time).toBeNull();
    expect(load('server: {container_grace_time: }').server.container_grace_time).toBeNull();
    expect(load('server: {}').server.container_grace_time).toBe(300);
  });

  it.each(['off', 'fatal', 'error', 'warn', 'info', 'debug', 'debug1', 'debug2', 'all'])(
    'knows the level %s [config 2 logging]',
    (level) => {
      // unquoted, `off` is false in YAML 1.1: the original's own trap
      expect(load(`logging: {level: "${level}"}`).logging.level).toBe(level);
    },
  );

  it.each([
    [
      { pool_network: '10.0.0.0' },
      'network.pool_network: Invalid address/netmask (require: 1.2.3.4/5), found "10.0.0.0"',
    ],
    [{ pool_network: '10.0.0.300/24' }, 'network.pool_network: invalid address, found "10.0.0.300/24"'],
    [{ pool_network: '10.0.0.0/33' }, 'network.pool_network: expected a prefix length from 12 to 30'],
    [{ pool_network: '10.0.0.0/31' }, 'network.pool_network: expected a prefix length from 12 to 30'],
    [{ pool_start_address: 'ten', pool_size: 4 }, 'network.pool_start_address: invalid address, found "ten"'],
    [
      { pool_start_address: '10.0.0.0', pool_size: 300_000 },
      'network.pool_size: expected at most 262144, found 300000',
    ],
    [
      { allow_networks: ['10.0.0.0/8', '10.0.0.0/40'] },
      'network.allow_networks[1]: expected an address, a CIDR or a range a-b, found "10.0.0.0/40"',
    ],
    [{ deny_networks: ['host.example'] }, 'network.deny_networks[0]: expected an address'],
    [{ dns_servers: ['8.8.8'] }, 'network.dns_servers[0]: expected an address, found "8.8.8"'],
    [{ pool_network: '0.0.0.0/12' }, 'without 0.0.0.0/8 (this network), found "0.0.0.0/12"'],
    [{ pool_network: '127.0.0.0/22' }, 'network.pool_network: expected addresses that containers can have'],
    [{ pool_network: '169.254.0.0/24' }, 'without 169.254.0.0/16 (link-local addresses)'],
    [{ pool_network: '224.0.0.0/22' }, 'without 224.0.0.0/4 (multicast)'],
    [{ pool_network: '255.255.255.0/24' }, 'without 255.255.255.255/32 (broadcast)'],
    [
      { pool_start_address: '127.1.0.0', pool_size: 4 },
      'network.pool_start_address: expected addresses that containers can have, as of a private network, without 127.0.0.0/8 (loopback), found "127.1.0.0/28" by pool_size',
    ],
  ])('refuses the network %j [config 3]', (network, message) => {
    expect(() => checkConfiguration({ network })).toThrow(message);
  });

  it('takes addresses, CIDRs and ranges as destinations', () => {
    const allow_networks = ['192.0.2.1', '192.0.2.0/24', '192.0.2.1-192.0.2.9', '0.0.0.0/0'];
    expect(checkConfiguration({ network: { allow_networks } }).network.allow_networks).toEqual(
      allow_networks,
    );
  });

  it('refuses ranges of ports and uids that run over their ends [config 3]', () => {
    expect(() => checkConfiguration({ port: { pool_start_port: 65_000, pool_size: 1_000 } })).toThrow(
      'port.pool_size: expected at most 536 from pool_start_port 65000 on, found 1000',
    );
    // no host has enough of these
    expect(() => checkConfiguration({ port: { pool_size: 999 } })).toThrow(
      'port.pool_size: Insufficient non-ephemeral ports available (expected >= 1000, got: 999)',
    );
    expect(() => checkConfiguration({ port: { pool_start_port: 64_537 } })).toThrow(
      'port.pool_start_port: Insufficient non-ephemeral ports available (expected >= 1000, got: 999)',
    );
    for (const port of [{ pool_start_port: 64_536 }, { pool_start_port: 64_536, pool_size: 1_000 }])
      expect(checkConfiguration({ port }).port).toEqual(port);
    expect(() => checkConfiguration({ user: { pool_start_uid: 2_147_483_000, pool_size: 1_000 } })).toThrow(
      /user\.pool_size: expected uids up to 2147483646/,
    );
  });

  it('refuses a socket path that no socket can have', () => {
    expect(() => checkConfiguration({ server: { unix_domain_path: `/${'x'.repeat(107)}` } })).toThrow(
      'server.unix_domain_path: expected a path of at most 107 bytes, the limit of socket addresses, found 108',
    );
  });

  it('says which form of the network pool counts where both are given [config 2 network]', () => {
    const older = { pool_start_address: '10.1.0.0', pool_size: 256 };
    expect(checkConfiguration({ network: { ...older, pool_network: '10.2.0.0/22' } }).warnings).toEqual([
      'network.pool_network has no effect beside network.pool_start_address and network.pool_size, which come first; the pool is 10.1.0.0/22',
    ]);
    for (const network of [older, { ...older, pool_network: '10.1.0.0/22' }])
      expect(checkConfiguration({ network }).warnings).toEqual([]);
  });

  it.each([
    [
      { security: { capabilities: ['chown', 'foo', 'CAP_BAR'] } },
      /security\.capabilities: there is no capability foo;.*security\.capabilities: there is no capability CAP_BAR;/,
    ],
    [
      { user: { pool_size: 1_000_000 } },
      /security\.subordinate_ids: from 536870912 on there are ids for 57343/,
    ],
    [
      { security: { subordinate_ids: 65_536 }, user: { pool_start_uid: 70_000 } },
      /security\.subordinate_ids: 65536 to \d+ meets the uids of user\.pool_start_uid/,
    ],
    [
      { drivers: { outward_address: 'foo' } },
      /drivers\.outward_address: expected an IPv4 address, found "foo"/,
    ],
    [{ drivers: { outward_address: '192.0.2.01' } }, /drivers\.outward_address: expected an IPv4 address/],
    [{ drivers: { name: '../x' } }, /drivers\.name: expected a letter, and up to 62 .* found "\.\.\/x"/],
    [{ drivers: { name: 'x'.repeat(64) } }, /drivers\.name: expected a letter/],
    [
      { monitoring: { port: 2_345 } },
      /monitoring\.port: expected another port than that of health_check_server\.port, found 2345 for both/,
    ],
    [
      { server: { unix_domain_path: '/run/w.sock' }, monitoring: { socket: '/run/./w.sock' } },
      /monitoring\.socket: expected another path than that of server\.unix_domain_path/,
    ],
    [
      { images: { registries: ['https://x'] } },
      /images\.registries\[0\]: expected host or host:port .*found "https:\/\/x"/,
    ],
    [
      { images: { registries: ['a.example', 'a.example/b'] } },
      /images\.registries\[1\]: expected host or host:port/,
    ],
    [
      { images: { registries: ['A.example'] } },
      /images\.registries\[0\]: expected host or host:port in lower case/,
    ],
    [
      { images: { insecure_registries: ['x:y'] } },
      /images\.insecure_registries\[0\]: expected host or host:port/,
    ],
  ])('refuses %j, which no daemon could start with or use', (given, message) => {
    expect(() => checkConfiguration(given)).toThrow(message);
  });

  it('takes hosts of registries, with ports, also the usual ones, and addresses', () => {
    const registries = [
      'registry.example',
      'registry.example:443',
      '127.0.0.1:5000',
      '[::1]:5000',
      'plain:80',
    ];
    const images = { registries, insecure_registries: ['plain:80'] };
    expect(checkConfiguration({ images }).images.registries).toEqual(registries);
  });

  it('takes every capability that the kernel has a number for, with and without CAP_', () => {
    const capabilities = ['CAP_NET_ADMIN', 'checkpoint_restore'];
    expect(checkConfiguration({ security: { capabilities } }).security.capabilities).toEqual(capabilities);
  });

  it('warns of a registry without TLS that nothing is pulled from', () => {
    const images = { registries: ['a.example'], insecure_registries: ['a.example', 'b.example:5000'] };
    expect(checkConfiguration({ images }).warnings).toEqual([
      'images.insecure_registries[1] has no effect: b.example:5000 is not in images.registries, so nothing is pulled from there',
    ]);
  });

  it('warns of paths that count from where the daemon is started', () => {
    const { warnings } = checkConfiguration({
      server: { unix_domain_path: 'warden.sock', container_depot_path: './depot', pidfile: '/run/p' },
      monitoring: { socket: null },
    });
    expect(warnings).toEqual([
      'server.unix_domain_path is relative: it counts from the directory that wardend is started in; write an absolute path, found "warden.sock"',
      expect.stringMatching(/^server\.container_depot_path is relative: .* found "\.\/depot"$/),
    ]);
  });

  it('warns of half of the older form of the network pool [config 2 network]', () => {
    expect(checkConfiguration({ network: { pool_size: 8 } }).warnings).toEqual([
      'network.pool_size has no effect without network.pool_start_address; the pool is network.pool_network',
    ]);
  });

  it('reads the sample shipped upstream [config 4]', () => {
    const sample = path.resolve(import.meta.dirname, '../test/original-sample.yml');
    const { server, network, user, logging, health_check_server, unknown, warnings } =
      loadConfiguration(sample);
    expect(server).toMatchObject({
      container_klass: 'Warden::Container::Linux',
      container_grace_time: 300,
      unix_domain_permissions: 0o777,
      container_rootfs_path: '/tmp/warden/rootfs',
      container_depot_path: '/tmp/warden/containers',
      container_rlimits: { as: 4_294_967_296, nofile: 8_192, nproc: 512 },
      job_output_limit: 10_485_760,
      quota: { disk_quota_enabled: true },
      allow_nested_warden: false,
    });
    expect(network).toMatchObject({ pool_start_address: '10.254.0.0', pool_size: 256, mtu: 1_500 });
    expect([user, logging.level, health_check_server.port]).toEqual([
      { pool_start_uid: 10_000, pool_size: 256 },
      'debug2',
      2_345,
    ]);
    expect(unknown).toEqual([]);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^server\.unix_domain_permissions lets every user of this host connect, .*, found 0777$/,
      ),
    ]);
  });

  it.each([
    ['unix_domain_permissions: 0777', 1],
    ['unix_domain_permissions: 0662', 1],
    ['unix_domain_permissions: 0755', 0],
    ['{unix_domain_permissions: 0666, allowed_uids: [1000]}', 0],
  ])('says that everybody may connect, with server: %s', (server, count) => {
    const { warnings } = load(`server:\n  ${server}\n`);
    expect(warnings.filter((one) => one.includes('every user of this host'))).toHaveLength(count);
  });

  it('takes the sample in examples without a warning', () => {
    const { unknown, warnings } = loadConfiguration(
      path.resolve(import.meta.dirname, '../../../examples/warden.yml'),
    );
    expect([unknown, warnings]).toEqual([[], []]);
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
    [{ network: { allow_networks: [null] } }, /network\.allow_networks\[0\]: expected a string .*found null/],
    [{ network: { allow_networks: null } }, /network\.allow_networks: .* found null/],
    [
      { server: { container_rlimits: { nofile: 'x' } } },
      /server\.container_rlimits\.nofile: expected an integer .* found "x"/,
    ],
    [
      { server: { quota: { disk_quota_enabled: 1 } } },
      /server\.quota\.disk_quota_enabled: expected true or false, found 1/,
    ],
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

  it('reports what makes no sense beside what is of the wrong type, and nothing that nobody has written', () => {
    const problems = (given: unknown): readonly string[] => {
      try {
        checkConfiguration(given);
        return [];
      } catch (error) {
        return (error as WardenError).fields.problems as readonly string[];
      }
    };
    expect(problems({ network: { mtu: 1, pool_network: 'x' }, user: { pool_size: 0 } })).toEqual([
      expect.stringMatching(/^network\.mtu/),
      expect.stringMatching(/^user\.pool_size/),
      expect.stringMatching(/^network\.pool_network/),
    ]);
    // the health check's default port is no mistake of whoever has written another one wrongly
    expect(problems({ health_check_server: { port: 'x' }, monitoring: { port: 2_345 } })).toEqual([
      expect.stringMatching(/^health_check_server\.port/),
    ]);
    expect(
      problems({ logging: 'loud', server: 7, drivers: { name: '-' }, network: { dns_servers: [1] } }),
    ).toEqual([
      expect.stringMatching(/^server: expected a map/),
      expect.stringMatching(/^logging: expected a map/),
      expect.stringMatching(/^network\.dns_servers\[0\]/),
      expect.stringMatching(/^drivers\.name/),
    ]);
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
