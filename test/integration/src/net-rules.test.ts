/**
 * What is open for a container, listed and taken back through the whole daemon: at once, for good, and
 * whatever becomes of the daemon.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ClientContainer } from '@warden/client';
import type { NetOutSpec } from '@warden/interface';
import {
  describeWith,
  HOST_ADDRESS,
  type Namespace,
  OUTSIDE_ADDRESS,
  patience,
  startDaemon,
} from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { text } from './text.ts';

/** Answers each line it gets, for as long as the other end likes; on TCP ports 7001 and 7002. */
const ECHO = `
import socketserver, sys, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            for line in self.rfile: self.wfile.write(line)
        except OSError: pass
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True; daemon_threads = True
for port in (7001, 7002): threading.Thread(target=Server(('0.0.0.0', port), Echo).serve_forever, daemon=True).start()
print('ready', flush=True); threading.Event().wait()
`;
const CONNECT = `
import socket, sys
try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); print('open')
except OSError: print('closed')
`;
const RULES: readonly NetOutSpec[] = [
  { protocol: 'tcp', network: OUTSIDE_ADDRESS, port: 7001 },
  { protocol: 'tcp', network: `${OUTSIDE_ADDRESS}/32`, portRange: '7002:7003' },
  { protocol: 'udp', domain: '*.example.org', port: 53, log: true },
  { protocol: 'icmp', network: '198.51.100.0-198.51.100.9', icmpType: 8, icmpCode: 0 },
];
/** As they are listed: each network in its shortest form. */
const LISTED = RULES.map((rule, at) => (at === 1 ? { ...rule, network: OUTSIDE_ADDRESS } : rule));

async function serve(where: Namespace): Promise<ChildProcess> {
  const [program, ...args] = where.enter(['python3', '-c', ECHO]);
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

describeWith(['root', 'isolated', 'overlayfs', 'nft', 'python3'], 'what is open for a container', () => {
  const config = { network: { release_delay: 0 } };
  let daemon: Awaited<ReturnType<typeof startDaemon>>;
  let outside: Namespace;
  let server: ChildProcess;
  beforeAll(async () => {
    daemon = await startDaemon({ config });
    ({ outside } = daemon.place.network);
    server = await serve(outside);
  });
  afterAll(async () => {
    server.kill('SIGKILL');
    await daemon.stop();
    await daemon.kill();
    await daemon.place.remove();
  });

  const isReached = (from: Namespace, address: string, port: number): boolean =>
    from.try(['python3', '-c', CONNECT, address, String(port)]).stdout.trim() === 'open';
  const reaches = async (box: ClientContainer, port: number): Promise<boolean> =>
    (await box.run(`nc -w 3 ${OUTSIDE_ADDRESS} ${port} </dev/null`)).exitStatus === 0;
  /** Says each second over one connection whether it still has an answer. */
  const talk = (box: ClientContainer, port: number): Promise<unknown> =>
    box.spawn(
      `exec 3<>/dev/tcp/${OUTSIDE_ADDRESS}/${port}; while sleep 0.1; do echo x >&3 && read -t 1 -u 3 _ && echo ${port} >>/tmp/said; done`,
    );
  const said = async (box: ClientContainer, port: number): Promise<number> =>
    Number(text((await box.run(`grep -c ${port} /tmp/said`)).stdout));
  /** Whether more comes over it; what was under way has come by then. */
  const goesOn = async (box: ClientContainer, port: number): Promise<boolean> => {
    const before = await said(box, port);
    await box.run('sleep 1.5');
    return (await said(box, port)) > before + 2;
  };

  it('is listed and taken back: all or nothing, as often as it is asked for, with its connections [net rules]', async () => {
    const warden = await daemon.connect();
    await using box = await warden.create({ handle: 'open' });
    expect(await box.netRules()).toEqual({ ports: [], egress: [] });
    for (const rule of RULES) await box.netOut(rule);
    const picked = await box.netIn({ containerPort: 80 });
    const given = await box.netIn({ hostPort: 8080, containerPort: 80 });
    await box.spawn('while :; do nc -l -p 80 </dev/null >/dev/null; done');
    expect(await box.netRules()).toEqual({ ports: [picked, given], egress: LISTED });
    await expect.poll(() => isReached(outside, HOST_ADDRESS, 8080), { timeout: patience(20_000) }).toBe(true);
    await talk(box, 7001);
    await talk(box, 7002);
    for (const port of [7001, 7002])
      await expect.poll(() => said(box, port), { timeout: patience(20_000) }).toBeGreaterThan(2);

    // one of them is no rule: nothing happens
    await expect(
      box.removeNetRules({ ports: [8080], egress: [RULES[0]!, { network: 'nowhere' }] }),
    ).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    await expect(box.removeNetRules({ ports: [0] })).rejects.toMatchObject({ code: 'INVALID_SPEC' });
    expect(await box.netRules()).toEqual({ ports: [picked, given], egress: LISTED });

    const left = { ports: [picked], egress: LISTED.slice(1) };
    // as a CIDR, although it was given as an address
    const going = { ports: [8080, 9_999], egress: [{ network: `${OUTSIDE_ADDRESS}/32`, port: 7001 }] };
    expect(await box.removeNetRules(going)).toEqual(left);
    expect(await box.removeNetRules(going)).toEqual(left);
    const over = await said(box, 7002);
    expect(await goesOn(box, 7001)).toBe(false);
    await expect.poll(() => said(box, 7002), { timeout: patience(20_000) }).toBeGreaterThan(over + 2);
    expect([await reaches(box, 7001), await reaches(box, 7002)]).toEqual([false, true]);
    expect(isReached(outside, HOST_ADDRESS, 8080)).toBe(false);
    expect((await box.info()).ports).toEqual([picked]);
    // what was given back can be had by others, a port of the pool too
    await using other = await warden.create();
    expect(await other.netIn({ hostPort: 8080, containerPort: 80 })).toMatchObject({ hostPort: 8080 });
    await box.removeNetRules({ ports: [picked.hostPort] });
    expect(await other.netIn({ hostPort: picked.hostPort, containerPort: 80 })).toMatchObject(picked);
    // also of a stopped container
    await box.stop({ kill: true });
    expect(await box.removeNetRules({ egress: LISTED })).toEqual({ ports: [], egress: [] });
  }, 120_000);

  it('stays taken back when the daemon is killed, and comes back with the next one otherwise', async () => {
    const warden = await daemon.connect();
    const box = await warden.create({ handle: 'kept' });
    for (const rule of RULES) await box.netOut(rule);
    await box.netIn({ hostPort: 8081, containerPort: 80 });
    await box.netIn({ hostPort: 8082, containerPort: 80 });
    const left = await box.removeNetRules({ ports: [8081], egress: [RULES[0]!, RULES[2]!] });
    expect(left).toEqual({
      ports: [{ hostPort: 8082, containerPort: 80 }],
      egress: [LISTED[1], LISTED[3]],
    });
    const { place } = daemon;
    await daemon.kill('SIGKILL');
    daemon = await startDaemon({ place, config });
    const again = (await daemon.connect()).container('kept');
    expect(await again.netRules()).toEqual(left);
    expect([await reaches(again, 7001), await reaches(again, 7002)]).toEqual([false, true]);
    const ports = place.network.host.run('nft', 'list', 'map', 'inet', place.name, 'ports');
    expect([ports.includes('8081'), ports.includes('8082')]).toEqual([false, true]);
    await again.destroy();
  }, 120_000);
});
