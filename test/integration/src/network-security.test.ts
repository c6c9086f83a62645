/**
 * What hostile code in a container can send, through the whole daemon: packets are counted outside, at the
 * host and in another container.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import type { CreateSpec } from '@warden/interface';
import {
  describeWith,
  HOST_ADDRESS,
  type Namespace,
  OUTSIDE_ADDRESS,
  patience,
  startDaemon,
  withDaemon,
} from '@warden/test-harness';
import { expect, it } from 'vitest';
import { text } from './text.ts';

/** The host's programs, so that a container has python3; read-only. */
const PROGRAMS: NonNullable<CreateSpec['bindMounts']> = ['/usr', '/lib', '/lib64']
  .filter((directory) => fs.existsSync(directory))
  .map((directory) => ({ source: directory, target: directory, mode: 'ro' }));

/** Counts packets at one place of a namespace. */
function count(where: Namespace, match: string, hook = 'prerouting priority -500'): () => number {
  where.run(
    'nft',
    `add table inet count; add chain inet count c { type filter hook ${hook}; }; flush chain inet count c; add rule inet count c ${match} counter`,
  );
  return () =>
    Number(/counter packets (\d+)/.exec(where.run('nft', 'list', 'chain', 'inet', 'count', 'c'))?.[1]);
}

/** Tries everything at 1 kHz for ever and notes how often. */
const PROBER = `
import os, socket, sys, time
targets = [(a, 7999) for a in sys.argv[1:]]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setblocking(False)
tries, due, noted = 0, time.monotonic(), 0
while True:
    for target in targets:
        try: s.sendto(b"x", target)
        except OSError: pass
    t = socket.socket(); t.setblocking(False)
    try: t.connect(targets[tries % len(targets)])
    except OSError: pass
    t.close()
    tries += 1
    due = max(due + 0.001, time.monotonic() - 0.05)
    if due - noted > 0.25:
        noted = due; open("/tmp/tries.new", "w").write(str(tries)); os.rename("/tmp/tries.new", "/tmp/tries")
    time.sleep(max(0, due - time.monotonic()))
`;

describeWith(
  ['root', 'isolated', 'overlayfs', 'nft', 'python3'],
  'a container that probes 1000 times a second',
  () => {
    it('sends nothing out while its daemon is killed, ended and started 20 times [SECURITY N20]', async () => {
      let daemon = await startDaemon();
      const { place } = daemon;
      const { host, outside } = place.network;
      try {
        const warden = await daemon.connect();
        const other = await warden.create({ handle: 'other' });
        const { containerIp = '' } = await other.info();
        const box = await warden.create({ handle: 'prober', bindMounts: PROGRAMS });
        const { hostIp = '' } = await box.info();
        const targets = [OUTSIDE_ADDRESS, HOST_ADDRESS, hostIp, containerIp, '169.254.169.254'];
        const seen = count(outside, 'meta l4proto { tcp, udp } th dport 7999');
        const atHost = count(host, 'iifname "w-*" th dport 7999', 'input priority 10');
        await box.spawn(`exec /usr/bin/python3 -c '${PROBER}' ${targets.join(' ')}`);
        let client = warden;
        const tries = async (): Promise<number> =>
          Number(text((await client.container('prober').run('cat /tmp/tries')).stdout));
        await expect.poll(tries, { timeout: patience(60_000) }).toBeGreaterThan(100);
        let before = await tries();
        for (let round = 0; round < 20; round++) {
          if (round % 4 === 3) await daemon.kill('SIGTERM');
          else await daemon.kill('SIGKILL');
          if (round % 5 === 4) await (await startDaemon({ place })).kill('SIGKILL');
          daemon = await startDaemon({ place });
          client = await daemon.connect();
          await expect.poll(tries, { timeout: patience(60_000) }).toBeGreaterThan(before + 20);
          before = await tries();
        }
        expect([seen(), atHost()]).toEqual([0, 0]);
        // Counters and prober work: once it is allowed, its packets are seen.
        await client.container('prober').netOut({ network: OUTSIDE_ADDRESS, protocol: 'all' });
        await expect.poll(seen, { timeout: patience(20_000) }).toBeGreaterThan(10);
        expect(atHost()).toBe(0);
      } finally {
        await daemon.stop();
        await daemon.kill();
        await place.remove();
      }
    }, 900_000);
  },
);

/**
 * Packets of every forbidden kind, by every kind of socket there is. Prints how many of them the kernel took.
 * What is counted elsewhere has port 7300, or is none of TCP, UDP and ICMP, or a redirect.
 */
const ATTACK = `
import socket, struct, sys
link, outside, host, gateway, other = sys.argv[1:]
def total(b):
    if len(b) % 2: b += bytes(1)
    t = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while t >> 16: t = (t >> 16) + (t & 0xffff)
    return ~t & 0xffff
def ip(source, target, protocol, body, options=b"", fragment=0):
    head = lambda c: struct.pack("!BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), 0, 20 + len(options) + len(body), 9, fragment, 64, protocol, c, socket.inet_aton(source), socket.inet_aton(target)) + options
    return head(total(head(0))) + body
udp = struct.pack("!HHHH", 4000, 7300, 12, 0) + b"wxyz"
own = open("/tmp/own").read().strip()
raw = wire = None
try: raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
except OSError: pass
try:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); wire.bind((link, 0))
except OSError: wire = None
taken = 0
def send(target, packet):
    global taken
    if raw:
        try: raw.sendto(packet, (target, 0)); taken += 1
        except OSError: pass
    if wire:
        for to in (mac, b"\\xff" * 6):
            try: wire.send(to + wire.getsockname()[4] + struct.pack("!H", 0x800) + packet); taken += 1
            except OSError: pass
mac = b"\\xff" * 6
for line in open("/proc/net/arp").read().splitlines()[1:]:
    if line.split()[0] == gateway: mac = bytes.fromhex(line.split()[3].replace(":", ""))
for target in (outside, host, gateway, other, "127.0.0.1", "169.254.169.254", "255.255.255.255", "224.0.0.1"):
    for source in (own, host, gateway, other, outside, "8.8.8.8", "127.0.0.1", ".".join(own.split(".")[:3] + ["0"])):
        send(target, ip(source, target, 17, udp))
    for options in (bytes([131, 7, 4]) + socket.inet_aton(outside) + bytes(1), bytes([148, 4, 0, 0]), b"\\1\\1\\1\\0"):
        send(target, ip(own, target, 17, udp, options))
    for protocol in (2, 4, 41, 47, 50, 132, 136):
        send(target, ip(own, target, protocol, ip(own, outside, 17, udp)))
    for code in range(4):
        body = lambda c: struct.pack("!BBH4s", 5, code, c, socket.inet_aton(own)) + ip(target, own, 17, udp)
        send(target, ip(own, target, 1, body(total(body(0)))))
    send(target, ip(own, target, 17, udp[:8], fragment=0x2000)); send(target, ip(own, target, 17, udp[8:], fragment=1))
for family, kind, protocol in ((socket.AF_INET6, socket.SOCK_DGRAM, 0), (socket.AF_INET6, 3, 58)):
    try:
        s = socket.socket(family, kind, protocol)
        for target in ("ff02::1", "fe80::1", "::ffff:" + outside, "fd00:ec2::254"):
            try: s.sendto(b"x" * 8, (target, 7300, 0, socket.if_nametoindex(link)))
            except OSError: pass
    except OSError: pass
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for target in (outside, host, gateway, other, "255.255.255.255", "224.0.0.1", "169.254.169.254"):
    try: s.sendto(b"x", (target, 7300))
    except OSError: pass
    for name, value in (("IP_TRANSPARENT", 19), ("IP_FREEBIND", 15)):
        try:
            f = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); f.setsockopt(0, value, 1); f.bind((outside, 0)); f.sendto(b"x", (target, 7300))
        except OSError: pass
print(taken)
`;

const ALL_CAPABILITIES =
  'chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read'.split(
    ' ',
  );
const DEFAULT_CAPABILITIES =
  'chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot'.split(' ');

tryEverything('by default', {}, 0);
// The network namespace is the host's, so that capabilities of a user namespace do not open it.
tryEverything(
  'with the capabilities for raw sockets in its user namespace',
  { capabilities: [...DEFAULT_CAPABILITIES, 'net_raw', 'net_admin'] },
  0,
);
// Every kind of socket works.
tryEverything(
  'with every capability and no filter, as the original had it',
  { capabilities: ALL_CAPABILITIES, user_namespace: false, no_new_privileges: false, seccomp: false },
  100,
);

/** One configuration; `least` packets have to leave the sockets for the rest to mean anything. */
function tryEverything(name: string, security: Readonly<Record<string, unknown>>, least: number): void {
  describeWith(['root', 'isolated', 'overlayfs', 'nft', 'python3'], `root in a container, ${name}`, () => {
    const suite = withDaemon({ config: { security, network: { release_delay: 0 } } });

    it('gets no forged packet anywhere [SECURITY N01, N05, N11]', async () => {
      const warden = await suite.daemon.connect();
      await using box = await warden.create({ bindMounts: PROGRAMS });
      await using other = await warden.create();
      const { host, outside } = suite.daemon.place.network;
      const { containerIp = '', hostIp = '' } = await box.info();
      const { containerIp: otherIp = '' } = await other.info();
      // Whatever is not forged may go out: only what is forged must not.
      await box.netOut({ network: '0.0.0.0/0', protocol: 'icmp' });
      await box.netOut({ network: '0.0.0.0/0', portRange: '1:7299', protocol: 'udp' });
      const match = `ip daddr != 203.0.113.0 udp dport 7300`;
      const seen = count(outside, match);
      const atHost = count(host, `iifname "w-*" ${match}`, 'input priority 10');
      const link = text((await box.run('cat /proc/net/dev')).stdout).match(/w-\w{11}-1/)![0];
      await box.run(`echo ${containerIp} >/tmp/own`, { privileged: true });
      const attack = async (): Promise<number> => {
        const words = [link, OUTSIDE_ADDRESS, HOST_ADDRESS, hostIp, otherIp].join(' ');
        const { stdout, stderr } = await box.run(`exec /usr/bin/python3 -c '${ATTACK}' ${words}`, {
          privileged: true,
        });
        expect(text(stderr)).toBe('');
        return Number(text(stdout));
      };
      const taken = await attack();
      if (least === 0) expect(taken).toBe(0);
      else expect(taken).toBeGreaterThan(least);
      expect([seen(), atHost()]).toEqual([0, 0]);
      const strange = count(outside, 'ip protocol != { tcp, udp, icmp }');
      const redirects = count(host, 'iifname "w-*" icmp type redirect', 'input priority 10');
      await attack();
      expect([strange(), redirects()]).toEqual([0, 0]);
      const inside = count(outside, 'icmp type redirect');
      await attack();
      expect(inside()).toBe(0);
      for (const where of [host, outside]) where.run('nft', 'delete', 'table', 'inet', 'count');
    }, 120_000);
  });
}

describeWith(['root', 'isolated', 'overlayfs', 'nft', 'python3'], 'what clients ask of the network', () => {
  const suite = withDaemon({
    config: { network: { release_delay: 0 }, port: { pool_start_port: 61_001, pool_size: 1_000 } },
  });

  it('is a value or an error, never a piece of a rule [SECURITY N17, N18]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    const { place } = suite.daemon;
    const table = (): string => place.network.host.run('nft', 'list', 'table', 'inet', place.name);
    const before = table();
    const networks = [
      '1.2.3.4 -j ACCEPT',
      '0/0; flush ruleset',
      '}',
      '1.2.3.4\n',
      '\n',
      '$(id)',
      '`id`',
      '1.2.3.4-1.2.3.3',
      '1.2.3.4/33',
      '::/0',
      '::1',
      '1.2.3.4/',
      '1.2.3',
      '01.2.3.4',
      '1.2.3.4/0x8',
      ' 1.2.3.4',
      '1.2.3.4\0',
      'any',
      '0.0.0.0/0 accept',
      '@allow_networks',
      '1.2.3.256',
      '4294967296',
      '1.2.3.4-',
      '-1.2.3.4',
      '1.2.3.4/-1',
      '1.2.3.4/24/24',
      '१.2.3.4',
      '1'.repeat(4_096),
      `1.2.3.4/${'0'.repeat(4_000)}`,
    ];
    const ranges = [
      '1:',
      '9:1',
      '5:5',
      '1:2:3',
      'http',
      '65536',
      '0',
      '1:65536',
      '-1:5',
      '1-5',
      ' 1:2',
      '1:2 accept',
      '1;2',
      '١:٢',
      '1'.repeat(4_096),
    ];
    for (const network of networks)
      await expect(box.netOut({ network }), JSON.stringify(network)).rejects.toMatchObject({
        code: 'INVALID_SPEC',
      });
    for (const portRange of ranges)
      await expect(box.netOut({ portRange }), JSON.stringify(portRange)).rejects.toMatchObject({
        code: 'INVALID_SPEC',
      });
    for (const icmp of [
      { icmpType: -2 },
      { icmpType: 256 },
      { icmpType: 8, icmpCode: -2 },
      { icmpType: 8, icmpCode: 256 },
      { icmpType: 2_147_483_647 },
    ])
      await expect(box.netOut({ network: '1.2.3.4', protocol: 'icmp', ...icmp })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
      });
    for (const network of networks.filter((one) => !/^0|^1\.2\.3\.4$/.test(one)))
      await expect(warden.create({ network }), JSON.stringify(network)).rejects.toMatchObject({
        code: expect.stringMatching(/INVALID_SPEC|POOL_EXHAUSTED/),
      });
    expect(table()).toBe(before);
  }, 120_000);

  it('as to ports is a free one of 1 to 65535 or an error naming who has it [SECURITY N15, N16]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create({ handle: 'one' });
    await using other = await warden.create({ handle: 'two' });
    const { host } = suite.daemon.place.network;
    for (const port of [0, 65_536, 4_294_967_295]) {
      await expect(box.netIn({ hostPort: port })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
        message: `'${port}' is no port: ports are whole numbers from 1 to 65535`,
      });
      await expect(box.netIn({ hostPort: 7400, containerPort: port })).rejects.toMatchObject({
        code: 'INVALID_SPEC',
      });
    }
    const listener = await listen(host, [22, 40_000]);
    try {
      for (const port of [22, 40_000])
        await expect(box.netIn({ hostPort: port })).rejects.toMatchObject({
          code: 'ALREADY_EXISTS',
          message: `port ${port} is taken by a program of the host, which listens on 0.0.0.0`,
        });
    } finally {
      listener.kill('SIGKILL');
      await once(listener, 'exit');
    }
    // Nobody has them any more: also low ones and those of the ephemeral range can be had, once.
    for (const port of [1, 22, 40_000, 65_535]) {
      expect(await box.netIn({ hostPort: port })).toEqual({ hostPort: port, containerPort: port });
      await expect(other.netIn({ hostPort: port })).rejects.toMatchObject({
        code: 'ALREADY_EXISTS',
        message: `port ${port} is taken by container one`,
      });
    }
  }, 120_000);

  it('leaves no container behind when the rules cannot be made, and has them again when they can [SECURITY N23]', async () => {
    const warden = await suite.daemon.connect();
    const { place } = suite.daemon;
    const { host } = place.network;
    const links = (): string => host.run('ip', '-o', 'link');
    // those of the containers before go behind the answers
    await expect.poll(links, { timeout: patience(20_000) }).not.toMatch(/ w-/);
    const before = links();
    const taker = await takeTable(host, place.name);
    try {
      await expect(warden.create({ handle: 'unruly' })).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
      expect(await warden.list()).toEqual([]);
      await expect.poll(links, { timeout: patience(20_000) }).toBe(before);
      expect(fs.readdirSync(place.depot).filter((name) => !name.startsWith('.'))).toEqual([]);
    } finally {
      taker.kill('SIGKILL');
      await once(taker, 'exit');
    }
    // the daemon, which looks once a second, has the table to itself again
    const create = async (): Promise<string> => {
      await using box = await warden.create();
      return box.handle;
    };
    await expect.poll(create, { timeout: patience(20_000) }).toBeTruthy();
  }, 120_000);
});

/**
 * A program that has made the daemon's table its own (`flags owner`): while it lives the kernel lets nobody
 * else change it.
 */
async function takeTable(where: Namespace, name: string): Promise<ChildProcess> {
  const [command, ...args] = where.enter(['nft', '--interactive']);
  const child = spawn(command!, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.write(`delete table inet ${name}; add table inet ${name} { flags owner; }\n`);
  await expect
    .poll(() => where.run('nft', 'list', 'table', 'inet', name), { timeout: patience(20_000) })
    .toContain('flags owner');
  return child;
}

async function listen(where: Namespace, ports: readonly number[]): Promise<ChildProcess> {
  const program = `import socket, sys, time\nkeep = [socket.create_server(('0.0.0.0', int(p))) for p in sys.argv[1:]]\nprint('ready', flush=True); time.sleep(600)`;
  const [command, ...args] = where.enter(['python3', '-c', program, ...ports.map(String)]);
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}
