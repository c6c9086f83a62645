/** Default deny while a container that sends all the time gets its first rule, and loses its last one. */
import type { NetworkDriver } from '@warden/interface';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { count } from './forger.ts';
import type { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { FAR, makeContainer, makeDriver, makeTopology, POLICY, specOf } from './test-topology.ts';

const A = specOf(0);
const RULE = {
  protocol: 'tcp',
  network: { first: FAR, last: FAR },
  ports: { first: 81, last: 81 },
  log: false,
} as const;
const TURNS_MS = 6_000;
/** From a port of its own each: what is accepted once would stay so. Ends by itself. */
const FLOOD = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
print('ready', flush=True)
end, port = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    for _ in range(100):
        port = port % 60000 + 1
        try: s.sendto(port.to_bytes(2, 'big') + (7199).to_bytes(2, 'big') + bytes([0, 9, 0, 0, 1]), (sys.argv[1], 0))
        except OSError: pass
`;

let net: Topology;
let driver: NetworkDriver;
let a: TestNamespace;

beforeAll(async () => {
  net = await makeTopology();
  driver = makeDriver();
  await driver.setup(POLICY);
  a = await makeContainer(driver, A);
}, 60_000);
afterAll(async () => {
  await driver.release(A, {});
  await driver.close();
  await a.close();
  await net.close();
});

it('lets nothing out between two of the rules in force', async () => {
  const seen = count(net.outside, 'udp dport 7199');
  const sent = count(net.host, 'iifname "w-*" udp dport 7199');
  const flood = await a.start('python3', '-c', FLOOD, FAR, String(TURNS_MS / 1_000 + 1));
  let turns = 0;
  for (const end = performance.now() + TURNS_MS; performance.now() < end; turns++) {
    await driver.allowEgress(A, {}, RULE);
    await driver.withdraw!(
      A,
      {},
      { withdrawn: { egress: [RULE], mappings: [] }, kept: { egress: [], mappings: [] } },
    );
  }
  await flood.close();
  expect(turns).toBeGreaterThan(100);
  expect(sent.packets()).toBeGreaterThan(10_000);
  expect(seen.packets()).toBe(0);
  // and would have been seen
  await driver.allowEgress(A, {}, { protocol: 'udp', log: false, network: { first: FAR, last: FAR } });
  const allowed = await a.start('python3', '-c', FLOOD, FAR, '0.5');
  await expect.poll(() => seen.packets(), { timeout: 15_000 }).toBeGreaterThan(0);
  await allowed.close();
}, 120_000);
