/** A bandwidth limit as packets feel it, by whatever way this kernel has (spec drivers.md 3.6). */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { ClientContainer } from '@warden/client';
import { describeWith, OUTSIDE_ADDRESS, withDaemon } from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';

const BYTES = 600_000;
const RATE = 200_000n;
const BURST = 20_000n;
const UNLIMITED = 4_294_967_295n;
/** What may wait in the receiver's socket before the server looks at its clock, generously. */
const BUFFERED = 50_000;
/** What is not part of the burst has to wait for the rate; packets' heads make it longer. */
const LEAST_SECONDS = (BYTES - Number(BURST) - BUFFERED) / Number(RATE);

/**
 * Port 7001 takes what comes, port 7002 sends; both say how much it was and how long it took until the other
 * end had all of it.
 */
const SERVER = `
import socket, struct, sys, threading, time
def take(c):
    count = 0
    while True:
        part = c.recv(65536)
        if not part: return count
        count += len(part)
def give(c):
    # closing waits until the other end has all of it
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 120))
    c.sendall(bytes(${BYTES}))
    c.close()
    return ${BYTES}
def serve(port, what):
    s = socket.create_server(("0.0.0.0", port))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    while True:
        c, _ = s.accept()
        began = time.monotonic()
        with c: print(what(c), time.monotonic() - began, flush=True)
threads = [threading.Thread(target=serve, args=a, daemon=True) for a in ((7001, take), (7002, give))]
for t in threads: t.start()
print("ready", flush=True)
sys.stdin.read()
`;

for (const bandwidth of ['auto', 'ends', 'limit'] as const)
  describeWith(
    ['root', 'isolated', 'overlayfs', 'python3'],
    `bandwidth of a container, drivers.bandwidth: ${bandwidth}`,
    () => held(bandwidth),
  );

function held(bandwidth: 'auto' | 'ends' | 'limit'): void {
  const suite = withDaemon({ config: { drivers: { bandwidth } } });
  let server: ChildProcess;
  let reports: AsyncIterator<string>;
  beforeAll(async () => {
    const [program, ...args] = suite.daemon.place.network.outside.enter(['python3', '-c', SERVER]);
    server = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    reports = createInterface({ input: server.stdout! })[Symbol.asyncIterator]();
    expect(await reports.next()).toMatchObject({ value: 'ready' });
  });
  afterAll(() => void server.kill('SIGKILL'));

  /** Seconds that the whole took, told by the server: starting a job is not in it. */
  const transfer = async (box: ClientContainer, script: string): Promise<number> => {
    expect((await box.run(script)).exitStatus).toBe(0);
    const [bytes, seconds] = String((await reports.next()).value)
      .split(' ')
      .map(Number);
    expect(bytes).toBe(BYTES);
    return seconds!;
  };
  const send = (box: ClientContainer): Promise<number> =>
    transfer(box, `head -c ${BYTES} /dev/zero | nc ${OUTSIDE_ADDRESS} 7001`);
  const receive = (box: ClientContainer): Promise<number> =>
    transfer(box, `test $(nc ${OUTSIDE_ADDRESS} 7002 </dev/null | wc -c) = ${BYTES}`);

  it('is held to the limit in both directions, and only of the container that has one [linux-container 25 limit_bandwidth] [drivers 3.6]', async () => {
    const warden = await suite.daemon.connect();
    await using box = await warden.create();
    await using other = await warden.create();
    for (const one of [box, other]) await one.netOut({ network: OUTSIDE_ADDRESS });
    await box.limitBandwidth({ rate: RATE, burst: BURST });
    const sent = await send(box);
    const received = await receive(box);
    // a rule that drops lets one second's worth through at once
    const least = bandwidth === 'limit' ? LEAST_SECONDS - 1 : LEAST_SECONDS;
    expect(Math.min(sent, received)).toBeGreaterThan(least);
    expect((await other.info()).bandwidthStat).toMatchObject({ inRate: UNLIMITED, outRate: UNLIMITED });
    // an emulated processor may be slower than the limit all by itself
    if (process.env.WARDEN_TEST_GUEST === undefined)
      await expect
        .poll(async () => Math.max(await send(other), await receive(other)), { timeout: 40_000 })
        .toBeLessThan(LEAST_SECONDS);
    const wanted = bandwidth === 'auto' ? process.env.WARDEN_TEST_SHAPING : bandwidth;
    if (wanted !== undefined)
      expect(suite.daemon.readLog()).toMatch(
        new RegExp(`"bandwidth-mode".*"mode":"${wanted}"|"mode":"${wanted}".*"bandwidth-mode"`),
      );
  });
}
