/** A bandwidth limit as packets feel it, by whatever way this kernel has (spec drivers.md 3.6). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ClientContainer } from '@warden/client';
import { describeWith, OUTSIDE_ADDRESS, withDaemon } from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';

const BYTES = 600_000;
const RATE = 200_000n;
const BURST = 20_000n;
/** What is not part of the burst has to wait for the rate; packets' heads make it longer, nothing makes it shorter. */
const LEAST_SECONDS = (BYTES - Number(BURST)) / Number(RATE);

/** Port 7001 takes what comes and answers how much it was and how long that took; port 7002 sends. */
const SERVER = `
import socket, threading, time
def take(c):
    began, count = time.monotonic(), 0
    while True:
        part = c.recv(65536)
        if not part: break
        count += len(part)
    c.sendall(b"%d %f" % (count, time.monotonic() - began))
def give(c):
    c.sendall(bytes(${BYTES}))
def serve(port, what):
    s = socket.create_server(("0.0.0.0", port))
    while True:
        c, _ = s.accept()
        with c: what(c)
threading.Thread(target=serve, args=(7001, take), daemon=True).start()
threading.Thread(target=serve, args=(7002, give), daemon=True).start()
print("ready", flush=True)
import sys; sys.stdin.read()
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
  beforeAll(async () => {
    const [program, ...args] = suite.daemon.place.network.outside.enter(['python3', '-c', SERVER]);
    server = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(server.stdout!, 'data');
  });
  afterAll(() => void server.kill('SIGKILL'));

  const say = async (box: ClientContainer, script: string): Promise<string> =>
    Buffer.from((await box.run(script)).stdout)
      .toString()
      .trim();
  /** Seconds to send, told by the receiver. */
  const send = async (box: ClientContainer): Promise<number> => {
    const answer = await say(box, `head -c ${BYTES} /dev/zero | nc ${OUTSIDE_ADDRESS} 7001`);
    const [bytes, seconds] = answer.split(' ').map(Number);
    expect(bytes).toBe(BYTES);
    return seconds!;
  };
  /** Seconds to receive. */
  const receive = async (box: ClientContainer): Promise<number> => {
    const began = performance.now();
    expect(await say(box, `nc ${OUTSIDE_ADDRESS} 7002 </dev/null | wc -c`)).toBe(String(BYTES));
    return (performance.now() - began) / 1000;
  };

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
    const free = Math.max(await send(other), await receive(other));
    expect(free).toBeLessThan(Math.min(sent, received));
    const wanted = bandwidth === 'auto' ? process.env.WARDEN_TEST_SHAPING : bandwidth;
    if (wanted !== undefined)
      expect(suite.daemon.readLog()).toMatch(
        new RegExp(`"bandwidth-mode".*"mode":"${wanted}"|"mode":"${wanted}".*"bandwidth-mode"`),
      );
  });
}
