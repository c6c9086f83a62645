import fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assertIsolated, isolationProblem } from './isolation.ts';
import { describeWith, unmet } from './requires.ts';
import {
  FAR_ADDRESS,
  HOST_ADDRESS,
  makeTestNetwork,
  OUTSIDE_ADDRESS,
  type TestNetwork,
} from './test-network.ts';

describeWith(['root', 'isolated'], 'the test network', () => {
  let network: TestNetwork;
  beforeAll(async () => {
    network = await makeTestNetwork();
  });
  afterAll(() => network.close());

  it('connects host and outside, directly and by the default route', () => {
    expect(network.host.try(['nc', '-z', '-w', '1', OUTSIDE_ADDRESS, '9']).stderr).not.toMatch(
      /unreachable/i,
    );
    network.host.run('ip', 'neighbour', 'flush', 'dev', 'wt-up');
    expect(network.host.run('ip', 'route', 'get', FAR_ADDRESS)).toContain(
      `via ${OUTSIDE_ADDRESS} dev wt-up src ${HOST_ADDRESS}`,
    );
  });

  it('has no way out: the outside knows only its own link', () => {
    const routes = network.outside.run('ip', 'route').trim().split('\n');
    expect(routes).toEqual([expect.stringContaining('203.0.113.0/24 dev wt-out')]);
    const links = network.outside.run('ip', '-o', 'link').trim().split('\n');
    expect(links.map((line) => line.split(': ')[1]!.split('@')[0])).toEqual(['lo', 'wt-out']);
  });

  it('lies in namespaces of its own', () => {
    const own = fs.readlinkSync(`/proc/${network.host.pid}/ns/net`);
    expect(own).not.toBe(fs.readlinkSync('/proc/self/ns/net'));
    expect(fs.readlinkSync(`/proc/${network.outside.pid}/ns/net`)).not.toBe(own);
    expect(fs.readlinkSync(`/proc/${network.host.pid}/ns/mnt`)).not.toBe(
      fs.readlinkSync('/proc/self/ns/mnt'),
    );
  });
});

describe('the guard', () => {
  it('throws exactly when it finds a problem, and names it', () => {
    const problem = isolationProblem();
    if (problem === undefined) expect(() => assertIsolated()).not.toThrow();
    else expect(() => assertIsolated()).toThrow(problem);
  });

  it('takes an interface that is not ours for a way out', () => {
    const names = fs.readFileSync('/proc/self/net/dev', 'utf8');
    if (/^\s*eth\d/m.test(names)) expect(isolationProblem()).toMatch(/eth\d|root/);
    else expect(unmet(['root'])).toBe(process.getuid?.() === 0 ? undefined : 'root');
  });
});
