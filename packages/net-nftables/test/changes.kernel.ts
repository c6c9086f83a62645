/** How changes are made: whole or not at all, of any size that occurs, at no cost for the other containers. */
import os from 'node:os';
import type { EgressRule, NetworkDriver, NetworkSpec } from '@warden/interface';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addPort, ensureContainer, ensureSource, removeSource } from '../src/container-rules.ts';
import { parseAddress, parseRange } from '../src/ipv4-address.ts';
import { NetlinkConnection } from '../src/netlink-connection.ts';
import { TableMessages } from '../src/nftables-message.ts';
import { TestNamespace } from './test-namespace.ts';
import type { Topology } from './test-topology.ts';
import { makeContainer, makeDriver, makeTopology, OUTSIDE, POLICY, specOf } from './test-topology.ts';

const A = specOf(0);
const B = specOf(1);
const TABLE = new TableMessages('warden-test');
/** Of all rules that one request makes, those that make the most of the kernel's. */
const WIDE: EgressRule = {
  protocol: 'tcp',
  network: { first: '0.0.0.0', last: '255.255.255.255' },
  ports: { first: 80, last: 90 },
  log: true,
};

let net: Topology;
let driver: NetworkDriver;
let peer: TestNamespace;

beforeAll(async () => {
  net = await makeTopology();
  peer = await TestNamespace.make();
});
beforeEach(async () => {
  driver = makeDriver();
  await driver.setup(POLICY);
});
afterEach(async () => {
  await driver.sweep(new Set());
  await driver.close();
});
afterAll(async () => {
  await peer.close();
  await net.close();
});

function isKernelFrom(major: number, minor: number): boolean {
  const [first = 0, second = 0] = os.release().split('.').map(Number);
  return first > major || (first === major && second >= minor);
}

/** As {@link specOf}, for more than there are in its network. */
function atBlock(n: number): NetworkSpec {
  const [third, fourth] = [Math.floor(n / 64), (n % 64) * 4];
  return {
    ...specOf(n),
    hostIp: `10.254.${third}.${fourth + 1}`,
    containerIp: `10.254.${third}.${fourth + 2}`,
  };
}

/** The table without the handles, which count up, and whose denials were told just now, which ends by itself. */
function table(): string {
  net.host.run('nft', 'flush', 'set', 'inet', 'warden-test', 'told');
  return net.host.run('nft', '-j', 'list', 'table', 'inet', 'warden-test').replaceAll(/"handle": \d+/g, '');
}

const linkOf = (spec: NetworkSpec): string => `w-${spec.id}-0`;
const links = (): string => net.host.run('ip', '-o', 'link');

describe('a change that fails', () => {
  it('at any of its parts has changed nothing [SECURITY N23]', async () => {
    await driver.attach(B, {}, peer.pid);
    await driver.mapPort(B, {}, { hostPort: 8081, containerPort: 80 });
    const connection = NetlinkConnection.open();
    const changes = [
      ...ensureContainer(TABLE, A.id, {
        ...{ egress: [WIDE, WIDE], pool: parseRange(POLICY.pool) },
        hasChain: false,
      }),
      ensureSource(TABLE, A.id, parseAddress(A.containerIp)),
      addPort(TABLE, A.id, A.containerIp, { hostPort: 8080, containerPort: 80 }),
    ];
    const broken = [
      addPort(TABLE, A.id, A.containerIp, { hostPort: 8081, containerPort: 80 }),
      removeSource(TABLE, A.id, parseAddress('10.254.3.1')),
      TABLE.addRule('no-such-chain', []),
      TABLE.deleteChain('default'),
    ];
    const before = table();
    for (const fault of broken) {
      for (let place = 0; place <= changes.length; place++) {
        expect(() => connection.commit([...changes.slice(0, place), fault, ...changes.slice(place)])).toThrow(
          expect.objectContaining({ code: 'NATIVE_FAILED' }),
        );
        expect(table()).toBe(before);
      }
    }
    connection.commit(changes);
    expect(table()).not.toBe(before);
    connection.close();
  });

  it('is the restoration of a link that went after the setup had seen it, and of one made since it is none', async () => {
    await driver.attach(A, {}, peer.pid);
    const next = makeDriver();
    await next.setup(POLICY);
    net.host.run('ip', 'link', 'delete', linkOf(A));
    const before = table();
    const recorded = { mappings: [{ hostPort: 8080, containerPort: 80 }], egress: [WIDE] };
    await expect(next.restore(A, {}, recorded)).rejects.toMatchObject({ fields: { errno: 'ENODEV' } });
    expect(table()).toBe(before);
    await next.attach(A, {}, peer.pid);
    await next.restore(A, {}, recorded);
    expect(table()).toContain('8080');
    await next.sweep(new Set());
    await next.close();
  });

  it('is none where somebody has taken the link down', async () => {
    await driver.attach(A, {}, peer.pid);
    const routes = (): string => net.host.run('ip', 'route', 'show', 'dev', linkOf(A));
    const before = routes();
    net.host.run('ip', 'link', 'set', linkOf(A), 'down');
    expect(routes()).toBe('');
    const next = makeDriver();
    await next.setup(POLICY);
    await next.restore(A, {}, { mappings: [], egress: [] });
    expect(routes()).toBe(before);
    await next.sweep(new Set());
    await next.close();
  });

  it('to restore a link of another namespace is not that it has gone', async () => {
    const state = driver.plan(A);
    const recorded = { mappings: [], egress: [] };
    await expect(driver.restore(A, state, recorded)).rejects.toMatchObject({ fields: { errno: 'ENODEV' } });
    await expect(driver.restore(A, { ...state, namespace: 'net:[1]' }, recorded)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      message: expect.stringContaining('was made in the network namespace net:[1]'),
      fields: {
        errno: 'EXDEV',
        advice: expect.stringContaining('start the daemon in the network namespace'),
      },
    });
  });

  it('to attach, behind the link, leaves neither link nor rules', async () => {
    await driver.begin!(A, {});
    const before = links();
    const attached = driver.attach(A, {}, peer.pid);
    attached.catch(() => undefined); // heard of below
    for (let round = 0; round < 2; round++) {
      net.host.run('nft', 'delete', 'table', 'inet', 'warden-test');
      if (round === 0) await driver.setup(POLICY);
    }
    await expect(attached).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    expect(links()).toBe(before);
    await driver.setup(POLICY);
    expect(table()).not.toContain(A.id);
  });

  it('leaves the container with all it had, or without anything when it was to be attached', async () => {
    await driver.attach(A, {}, peer.pid);
    await driver.attach(B, {}, peer.pid);
    await driver.mapPort(A, {}, { hostPort: 8080, containerPort: 80 });
    await driver.mapPort(B, {}, { hostPort: 8081, containerPort: 80 });
    await driver.allowEgress(A, {}, WIDE);
    const before = table();
    await expect(
      driver.restore(A, {}, { mappings: [{ hostPort: 8081, containerPort: 80 }], egress: [] }),
    ).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(table()).toBe(before);
    const results = await Promise.allSettled([
      driver.restore(A, {}, { mappings: [{ hostPort: 8082, containerPort: 80 }], egress: [WIDE] }),
      driver.restore(B, {}, { mappings: [{ hostPort: 8082, containerPort: 80 }], egress: [] }),
    ]);
    expect(results).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'ALREADY_EXISTS' } },
    ]);
    expect(table()).toContain('8081'); // the one that failed has what it had
    expect(table()).not.toContain('8080');
    const stranger = specOf(5);
    net.host.run('nft', 'delete', 'table', 'inet', 'warden-test');
    const without = links();
    await expect(driver.attach(stranger, {}, peer.pid)).rejects.toMatchObject({ code: 'NATIVE_FAILED' });
    expect(links()).toBe(without);
    await driver.setup(POLICY);
  });
});

describe('links', () => {
  it.each([0, 1, 67, 65_536])(
    'with an MTU of %s are refused, and nothing remains [SECURITY N24]',
    async (mtu) => {
      const before = [table(), links()];
      await expect(driver.attach({ ...A, mtu }, {}, peer.pid)).rejects.toMatchObject({
        code: 'NATIVE_FAILED',
        fields: { operation: 'attach', object: linkOf(A) },
      });
      expect([table(), links()]).toEqual(before);
    },
  );

  it.each([68, 65_535])('have an MTU of %s when it is asked for [SECURITY N24]', async (mtu) => {
    await driver.attach({ ...A, mtu }, {}, peer.pid);
    expect(net.host.run('ip', 'link', 'show', linkOf(A))).toContain(`mtu ${mtu} `);
    await driver.setBandwidth({ ...A, mtu }, {}, { rate: 1_000_000n, burst: 1n });
    await driver.release(A, {});
  });

  it('of somebody else are not taken away for their name [SECURITY N24]', async () => {
    net.host.run('ip', 'link', 'add', linkOf(A), 'type', 'veth', 'peer', 'name', 'wt-foreign');
    net.host.run('ip', 'link', 'set', linkOf(A), 'alias', 'other');
    const before = [table(), links()];
    await expect(driver.attach(A, {}, peer.pid)).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: expect.stringContaining(`the link ${linkOf(A)} exists and belongs to "other"`),
    });
    expect([table(), links()]).toEqual(before);
    net.host.run('ip', 'link', 'delete', linkOf(A));
    // One without a mark is what a daemon left that was killed in between.
    net.host.run('ip', 'link', 'add', linkOf(A), 'type', 'veth', 'peer', 'name', 'wt-foreign');
    await driver.attach(A, {}, peer.pid);
    expect(links()).not.toContain('wt-foreign');
  });
});

describe('the table', () => {
  it('has as many shared rules for 150 containers as for none, and a chain for each with rules of its own [SECURITY N25]', async () => {
    const shared = (): string =>
      ['ingress', 'input', 'forward', 'prerouting', 'output', 'postrouting', 'guard', 'guard-icmp', 'default']
        .map((chain) => net.host.run('nft', 'list', 'chain', 'inet', 'warden-test', chain))
        .join();
    const chains = (): number => table().split('"chain": {').length;
    const before = { shared: shared(), chains: chains() };
    const specs = Array.from({ length: 150 }, (_, n) => atBlock(n));
    for (const spec of specs) {
      await driver.attach(spec, {}, peer.pid);
      await driver.mapPort(spec, {}, { hostPort: 10_000 + specs.indexOf(spec), containerPort: 80 });
    }
    expect(chains()).toBe(before.chains);
    await driver.allowEgress(specs[77]!, {}, WIDE);
    await driver.allowEgress(specs[78]!, {}, WIDE);
    expect(chains()).toBe(before.chains + 2);
    // What a packet meets: lookups in sets and maps whose cost does not grow, then the rules of its own container.
    expect(shared()).toBe(before.shared);
    expect(shared()).toMatch(/iifname \. ip saddr != @sources drop/);
    expect(shared()).toMatch(/iifname vmap @containers/);
    const rules = net.host.run('nft', 'list', 'chain', 'inet', 'warden-test', `i-${specs[77]!.id}`);
    // two ways of being meant, each logged and accepted, and the way on
    expect(rules.split('\n').filter((line) => line.startsWith('\t\t'))).toHaveLength(5);
    expect(net.host.run('nft', 'list', 'set', 'inet', 'warden-test', 'sources').match(/"w-/g)).toHaveLength(
      150,
    );
    expect(await driver.sweep(new Set())).toHaveLength(150);
    expect([shared(), chains()]).toEqual([before.shared, before.chains]);
  }, 240_000);

  it('has the chain of a container for as long as it has rules', async () => {
    await driver.attach(A, {}, peer.pid);
    const bare = table();
    const chain = (): string[] => table().match(/"name": "i-[^"]*"/g) ?? [];
    expect(chain()).toEqual([]);
    await driver.allowEgress(A, {}, WIDE);
    await driver.allowEgress(A, {}, WIDE);
    expect(chain()).toHaveLength(1);
    const rules = { egress: [WIDE], mappings: [] };
    await driver.withdraw!(A, {}, { withdrawn: rules, kept: rules });
    expect(chain()).toHaveLength(1);
    await driver.withdraw!(A, {}, { withdrawn: rules, kept: { egress: [], mappings: [] } });
    expect(table()).toBe(bare);
    await driver.allowEgress(A, {}, WIDE);
    await driver.release(A, {});
    expect(table()).not.toContain(A.id);
  });

  it('is as it was after a rule for a container that is not there, and keeps what somebody else has allowed', async () => {
    const bare = table();
    await expect(driver.allowEgress(A, {}, WIDE)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { operation: 'allow-egress', object: A.id, errno: 'ENOENT' },
    });
    expect(table()).toBe(bare);
    await driver.attach(A, {}, peer.pid);
    const other = makeDriver();
    await other.setup(POLICY);
    await other.allowEgress(A, {}, WIDE);
    await Promise.all([driver.allowEgress(A, {}, WIDE), driver.allowEgress(A, {}, WIDE)]);
    const rules = net.host.run('nft', 'list', 'chain', 'inet', 'warden-test', `i-${A.id}`);
    expect(rules.match(/accept/g)).toHaveLength(3 * 2);
    await other.close();
    await driver.release(A, {});
    await expect(driver.allowEgress(A, {}, WIDE)).rejects.toMatchObject({ fields: { errno: 'ENOENT' } });
    expect(table()).toBe(bare);
  });

  it('loses the chains without rules that a daemon of before left, whatever of them is still there', async () => {
    const specs = [specOf(0), specOf(1), specOf(2)] as const;
    for (const spec of specs) await driver.attach(spec, {}, peer.pid);
    const bare = table();
    for (const { id } of specs) {
      net.host.run('nft', 'add', 'chain', 'inet', 'warden-test', `i-${id}`);
      net.host.run('nft', 'add', 'rule', 'inet', 'warden-test', `i-${id}`, 'goto', 'default');
    }
    const lead = ({ id }: NetworkSpec): string => `{ "w-${id}-0" : goto i-${id} }`; // as it was led there
    for (const spec of specs.slice(1))
      net.host.run('nft', 'add', 'element', 'inet', 'warden-test', 'containers', lead(spec));
    const next = makeDriver();
    await next.setup(POLICY);
    await Promise.all(specs.slice(0, 2).map((spec) => next.restore(spec, {}, { mappings: [], egress: [] })));
    await next.release(specs[2], {});
    await driver.release(specs[2], {});
    await driver.attach(specs[2], {}, peer.pid);
    expect(table()).toBe(bare);
    await next.close();
  });

  it('takes over the rules of a container that was led to its chain for good by a daemon of before', async () => {
    await driver.attach(A, {}, peer.pid);
    await driver.allowEgress(A, {}, WIDE);
    const before = table();
    const element = (text: string): string => `element inet warden-test containers { "w-${A.id}-0" ${text} }`;
    net.host.run('nft', `delete ${element('')}`);
    net.host.run('nft', `add ${element(`: goto i-${A.id}`)}`);
    const next = makeDriver();
    await next.setup(POLICY);
    await next.restore(A, {}, { mappings: [], egress: [WIDE] });
    expect(table()).toBe(before);
    await next.close();
  });

  // older kernels do not compare sets (nf_tables_newset), and take this one for the driver's
  it.runIf(isKernelFrom(6, 2))(
    'leaves a table that another version has made otherwise as it is, and says so [needs: Linux 6.2]',
    async () => {
      await driver.attach(A, {}, peer.pid);
      await driver.allowEgress(A, {}, WIDE);
      net.host.run('nft', 'delete map inet warden-test limited');
      net.host.run('nft', 'add set inet warden-test limited { type ipv4_addr; }');
      const before = table();
      const next = makeDriver();
      await expect(next.setup(POLICY)).rejects.toMatchObject({
        code: 'NATIVE_FAILED',
        message: expect.stringMatching(/warden-test holds what another version .* Nothing was changed/),
        fields: { errno: 'EEXIST' },
      });
      expect(table()).toBe(before);
      await next.close();
      net.host.run('nft', 'delete set inet warden-test limited');
    },
  );

  it('withdraws the last rule although somebody else had allowed it', async () => {
    await driver.attach(A, {}, peer.pid);
    const bare = table();
    const other = makeDriver();
    await other.setup(POLICY);
    await other.allowEgress(A, {}, WIDE);
    const rules = { egress: [WIDE], mappings: [] };
    await driver.withdraw!(A, {}, { withdrawn: rules, kept: { egress: [], mappings: [] } });
    expect(table()).toBe(bare);
    await driver.allowEgress(A, {}, WIDE);
    await other.withdraw!(A, {}, { withdrawn: rules, kept: { egress: [], mappings: [] } });
    await driver.allowEgress(A, {}, WIDE); // which thought that there was a chain
    await other.close();
    await driver.release(A, {});
    expect(table()).not.toContain(A.id);
  });

  // a link below the least MTU of IPv6 has none of it, whatever later ones get
  it.each([1_500, 1_000])(
    'of a daemon that has another name now says nothing more of a container that was restored, with an MTU of %i',
    async (mtu) => {
      const mapping = { hostPort: 8080, containerPort: 80 };
      await driver.attach({ ...A, mtu }, {}, peer.pid);
      await driver.mapPort(A, {}, mapping);
      await driver.allowEgress(A, {}, WIDE);
      const renamed = makeDriver('warden-renamed');
      await renamed.setup(POLICY);
      try {
        await renamed.restore(A, {}, { mappings: [mapping], egress: [WIDE] });
        expect(table()).not.toContain(A.id);
        expect(net.host.run('ip', 'link', 'show', linkOf(A))).toContain('alias warden-renamed');
        expect(await renamed.list!()).toEqual([A.id]);
        expect(await renamed.sweep(new Set())).toEqual([A.id]);
        await renamed.dismantle!();
      } finally {
        await renamed.close();
      }
    },
  );

  it('is not taken away under a container, with rules or without', async () => {
    await driver.attach(A, {}, peer.pid);
    await expect(driver.dismantle!()).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { foreign: [], containers: [A.id] },
    });
    await driver.allowEgress(A, {}, WIDE);
    await expect(driver.dismantle!()).rejects.toMatchObject({ fields: { foreign: [`i-${A.id}`] } });
    await driver.release(A, {});
    await driver.dismantle!();
    expect(await driver.standing!()).toEqual([]);
    await driver.setup(POLICY);
  });

  it('goes with all that containers had in it, also as the first version made it, without a set-up before', async () => {
    // a chain for each container, led to for good; no sources, limits or askers
    net.host.run(
      'nft',
      `table inet warden-first {
        set interfaces { type ifname; elements = { "w-${A.id}-0" }; }
        map containers { type ifname : verdict; }
        map ports { type inet_service : ipv4_addr . inet_service; elements = { 8080 comment "${A.id}" : ${A.containerIp} . 80 }; }
        chain default { reject; }
        chain i-${A.id} { goto default; }
      }
      add element inet warden-first containers { "w-${A.id}-0" : goto i-${A.id} }`,
    );
    const cleaner = makeDriver('warden-first');
    await expect(cleaner.dismantle!()).rejects.toMatchObject({ fields: { containers: [A.id] } });
    await cleaner.release(A, {});
    await cleaner.dismantle!();
    expect(net.host.run('nft', 'list', 'tables')).not.toContain('warden-first');
    await cleaner.close();
  });

  it('takes 1024 rules of one container at once, as a restart brings them', async () => {
    await driver.attach(A, {}, peer.pid);
    await driver.restore(A, {}, { mappings: [], egress: Array.from({ length: 1024 }, () => WIDE) });
    const rules = net.host.run('nft', 'list', 'chain', 'inet', 'warden-test', `i-${A.id}`);
    expect(rules.match(/accept/g)).toHaveLength(2048);
  }, 240_000);
});

describe('many containers', () => {
  // with a hundred of them the changes are made on a thread
  it.each([0, 100])(
    'get and lose their rules at the same time beside %s others, each as if it were alone',
    async (crowd) => {
      const specs = Array.from({ length: 24 + crowd }, (_, n) => atBlock(n));
      const [going, staying] = [specs.slice(0, 12), specs.slice(12, 24)];
      await Promise.all(specs.slice(24).map((spec) => driver.begin!(spec, {})));
      await Promise.all(going.map((spec) => driver.attach(spec, {}, peer.pid)));
      await Promise.all(going.slice(2, 6).map((spec) => driver.allowEgress(spec, {}, WIDE)));
      // somebody has taken parts of four away: what is known of the table is read again in the midst of it
      for (const [set, gone] of [
        ['containers', going.slice(3, 5)],
        ['interfaces', going.slice(5, 7)],
      ] as const)
        for (const { id } of gone)
          net.host.run('nft', 'delete', 'element', 'inet', 'warden-test', set, `{ "w-${id}-0" }`);
      await Promise.all([
        ...going.map((spec) => driver.release(spec, {})),
        ...staying.slice(0, 6).map((spec) => driver.attach(spec, {}, peer.pid)),
        driver.setup(POLICY),
        ...staying.slice(6).map((spec) => driver.attach(spec, {}, peer.pid)),
      ]);
      await Promise.all(
        staying.flatMap((spec, n) => [
          driver.allowEgress(spec, {}, WIDE),
          driver.mapPort(spec, {}, { hostPort: 10_000 + n, containerPort: 80 }),
        ]),
      );
      const chains = [...table().matchAll(/"chain": \{[^}]*"name": "i-([^"]*)"/g)].map(([, id]) => id);
      expect(chains.sort()).toEqual(staying.map(({ id }) => id));
      for (const words of ['map containers', 'set interfaces', 'set sources', 'map ports']) {
        const [kind, name] = words.split(' ') as [string, string];
        const expected = staying.length + (['ports', 'containers'].includes(name) ? 0 : crowd);
        const listed = net.host.run('nft', 'list', kind, 'inet', 'warden-test', name);
        expect([words, listed.match(/"w-t|comment "t/g)?.length]).toEqual([words, expected]);
      }
      const another = makeDriver(); // which knows nothing but what the kernel has
      expect(await another.sweep(new Set(staying.slice(1).map(({ id }) => id)))).toContain(staying[0]!.id);
      await another.close();
    },
    240_000,
  );

  it('are told apart: each gets in by its own link alone, with its own address', async () => {
    const [a, b] = [await makeContainer(driver, specOf(2)), await makeContainer(driver, specOf(3))];
    await driver.setup({ ...POLICY, allowNetworks: [OUTSIDE] });
    expect([await a.ping(OUTSIDE), await b.ping(OUTSIDE)]).toEqual([true, true]);
    // They swap their addresses.
    const inside = [specOf(2), specOf(3)].map((spec) => driver.inside(spec, {}));
    for (const [where, own, other] of [
      [a, inside[0]!, inside[1]!],
      [b, inside[1]!, inside[0]!],
    ] as const) {
      where.run('ip', 'address', 'add', `${other.address}/32`, 'dev', own.interface);
      where.run('ip', 'route', 'replace', 'default', 'via', own.gateway, 'src', other.address);
    }
    expect([await a.ping(OUTSIDE), await b.ping(OUTSIDE)]).toEqual([false, false]);
    for (const spec of [specOf(2), specOf(3)]) await driver.release(spec, {});
    await Promise.all([a.close(), b.close()]);
  });
});
