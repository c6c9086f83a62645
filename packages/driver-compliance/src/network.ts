/** Compliance of a network driver (spec drivers.md 3). */
import assert from 'node:assert/strict';
import type {
  BandwidthStat,
  DriverState,
  EgressRule,
  InsideNetwork,
  NetworkDriver,
  NetworkHostSpec,
  NetworkSpec,
  PortMapping,
} from '@warden/interface';
import {
  assertComplete,
  assertHarmless,
  assertHonestProbe,
  assertPurePlan,
  assertWardenError,
  persisted,
  watched,
} from './laws.ts';
import type { TestFunctions } from './test-functions.ts';

/** A network namespace that plays a container. */
export interface ContainerNamespace {
  readonly pid: number;
  /** Configures the inside as init does. */
  configure(inside: InsideNetwork): Promise<void>;
  /** Whether a TCP connection from inside gets through. */
  connects(address: string, port: number): Promise<boolean>;
  /** Serves TCP inside. */
  listen(port: number): Promise<void>;
  /** Ends it, and its interfaces with it. */
  close(): Promise<void>;
}

/** One isolated instance per test: a host, an outside, and nothing else. */
export interface NetworkSubject {
  readonly driver: NetworkDriver;
  makeNamespace(): Promise<ContainerNamespace>;
  /** Address of the host that the outside reaches. */
  readonly hostAddress: string;
  /** Address of the outside, which serves TCP on ports 7001 and 7002. */
  readonly outsideAddress: string;
  /** Whether a TCP connection from `outside` or `host` gets through. */
  connects(from: 'outside' | 'host', address: string, port: number): Promise<boolean>;
  /** A program of the host serves TCP on this port of every address. */
  listenOnHost(port: number): Promise<void>;
  /** Everything a driver can leave: links, addresses, tables, chains, elements. */
  inventory(): Promise<readonly string[]>;
  /** Another instance, as the next daemon makes it; the first one ends without `close`, as by SIGKILL. */
  restart(): Promise<NetworkDriver>;
  close(): Promise<void>;
}

const HOST: NetworkHostSpec = {
  pool: '10.254.0.0/22',
  allowNetworks: [],
  denyNetworks: [],
  allowHostAccess: false,
};
const SPEC: NetworkSpec = Object.freeze({
  id: '0123456789a',
  hostIp: '10.254.0.1',
  containerIp: '10.254.0.2',
  prefixLength: 30,
  mtu: 1500,
});
const OTHER: NetworkSpec = Object.freeze({
  id: 'bbbbbbbbbbb',
  hostIp: '10.254.0.5',
  containerIp: '10.254.0.6',
  prefixLength: 30,
  mtu: 1400,
});

/** Declares the tests. `make` answers a fresh subject, before `setup`; tests share nothing. */
export function networkCompliance(
  test: TestFunctions,
  name: string,
  make: () => Promise<NetworkSubject>,
): void {
  const withSubject = (
    title: string,
    body: (subject: NetworkSubject) => Promise<void>,
    host: NetworkHostSpec = HOST,
  ): void =>
    test.it(title, async () => {
      const subject = watched('network', await make());
      let living = subject.driver;
      const restart = async (): Promise<NetworkDriver> => {
        living = await subject.restart();
        return living;
      };
      try {
        await living.setup(host);
        await body({ ...subject, restart });
      } finally {
        await living.close();
        await subject.close();
      }
    });
  const withLink: typeof withSubject = (title, body) =>
    withSubject(title, async (subject) => {
      if (subject.driver.supports.link) await body(subject);
    });

  test.describe(`network driver ${name}`, () => {
    withSubject('probes honestly', async ({ driver, inventory }) => {
      assertComplete('network', driver);
      await assertHonestProbe(() => driver.probe(), inventory);
    });
    withSubject('plans without touching anything', ({ driver, inventory }) =>
      assertPurePlan(() => driver.plan(SPEC), inventory),
    );
    withSubject('sets up again without losing a container', async (subject) => {
      const box = await start(subject, SPEC);
      const before = await subject.inventory();
      await subject.driver.setup(HOST);
      assert.deepEqual(await subject.inventory(), before);
      await end(subject, box);
    });
    withSubject(
      'releases repeatedly, and what was never attached',
      async ({ driver, inventory, makeNamespace }) => {
        const before = await inventory();
        const state = driver.plan(SPEC);
        await driver.release(SPEC, state);
        const namespace = await makeNamespace();
        await driver.attach(SPEC, state, namespace.pid);
        await driver.attach(SPEC, persisted(state), namespace.pid);
        await namespace.close();
        await driver.release(SPEC, persisted(state));
        await driver.release(SPEC, persisted(state));
        await eventually(async () => assert.deepEqual(await inventory(), before));
      },
    );
    withSubject('begins before there is a process', async (subject) => {
      const { driver, inventory } = subject;
      if (driver.begin === undefined) return;
      const before = await inventory();
      const state = driver.plan(SPEC);
      await driver.begin(SPEC, state);
      await driver.begin(SPEC, persisted(state));
      await driver.release(SPEC, state);
      assert.deepEqual(await inventory(), before, 'what was begun outlives the release');
      const whole = await start(subject, SPEC);
      const attached = await inventory();
      await end(subject, whole);
      await eventually(async () => assert.deepEqual(await inventory(), before));
      await driver.begin(SPEC, state);
      const begun = await start(subject, SPEC);
      assert.deepEqual(await inventory(), attached, 'attach does not do what has not been begun');
      await end(subject, begun);
    });
    withSubject('says what init configures, purely', async ({ driver, inventory }) => {
      const before = await inventory();
      const state = persisted(driver.plan(SPEC));
      const inside = driver.inside(SPEC, state);
      assert.deepEqual(driver.inside(SPEC, state), inside);
      if (driver.supports.link) {
        const { containerIp: address, hostIp: gateway, prefixLength, mtu } = SPEC;
        assert.deepEqual({ ...inside }, { ...inside, address, gateway, prefixLength, mtu });
        assert.match(inside.interface, /^[^/\s]{1,15}$/);
        const other = driver.inside(OTHER, driver.plan(OTHER));
        assert.notEqual(other.interface, inside.interface);
      } else {
        assert.equal(inside.interface, '');
      }
      assert.deepEqual(await inventory(), before);
    });
    withLink('attaches completely or not at all', async ({ driver, makeNamespace, inventory }) => {
      const before = await inventory();
      const state = driver.plan(SPEC);
      const namespace = await makeNamespace();
      await namespace.close();
      await assertWardenError(() => driver.attach(SPEC, state, namespace.pid), ['NATIVE_FAILED']);
      assert.deepEqual(await inventory(), before, 'a failed attach left something behind');
      await driver.release(SPEC, state);
    });
    withLink('lets nothing of a released container pass to the next', async (subject) => {
      const { supports } = subject.driver;
      const box = await start(subject, SPEC);
      if (supports.egressRules) await subject.driver.allowEgress(SPEC, box.state, rule({}));
      const mapping = { hostPort: 61_001, containerPort: 8080 };
      if (supports.portMapping) await subject.driver.mapPort(SPEC, box.state, mapping);
      if (supports.bandwidth)
        await subject.driver.setBandwidth(SPEC, box.state, { rate: 100_000n, burst: 1_000n });
      await end(subject, box);
      const next = await start(subject, SPEC);
      await next.namespace.listen(8080);
      assert.equal(await next.namespace.connects(subject.outsideAddress, 7001), false);
      if (supports.portMapping)
        assert.equal(await subject.connects('outside', subject.hostAddress, 61_001), false);
      if (supports.bandwidth)
        assert.deepEqual(await subject.driver.bandwidth(SPEC, next.state), stat(UNLIMITED, UNLIMITED));
      await end(subject, next);
    });
    withLink('keeps the rules in force from one daemon to the next', async (subject) => {
      const { supports } = subject.driver;
      const box = await start(subject, SPEC);
      const egress = supports.egressRules ? [rule({ ports: { first: 7002, last: 7002 } })] : [];
      for (const one of egress) await subject.driver.allowEgress(SPEC, box.state, one);
      const mappings = supports.portMapping ? [{ hostPort: 61_001, containerPort: 8080 }] : [];
      for (const one of mappings) await subject.driver.mapPort(SPEC, box.state, one);
      const limit = supports.bandwidth ? { bandwidth: { rate: 100_000_000n, burst: 100_000n } } : {};
      if (limit.bandwidth) await subject.driver.setBandwidth(SPEC, box.state, limit.bandwidth);
      const made = await subject.inventory();
      const next = await subject.restart();
      const check = async (): Promise<void> => {
        assert.deepEqual(await subject.inventory(), made);
        assert.equal(await box.namespace.connects(subject.outsideAddress, 7002), supports.egressRules);
        assert.equal(await box.namespace.connects(subject.outsideAddress, 7001), false);
      };
      await check();
      await next.setup(HOST);
      await next.restore(SPEC, persisted(box.state), { mappings, egress, ...limit });
      assert.deepEqual(await next.sweep(new Set([SPEC.id])), []);
      await check();
      const following = { ...subject, driver: next };
      if (mappings[0]) {
        const other = await start(following, OTHER);
        await assertWardenError(() => next.mapPort(OTHER, other.state, mappings[0]!), ['ALREADY_EXISTS']);
        await end(following, other);
      }
      await end(following, box);
      await next.close();
    });
    withLink('cannot restore what has lost its link', async ({ driver, makeNamespace, inventory }) => {
      const before = await inventory();
      const state = driver.plan(SPEC);
      const namespace = await makeNamespace();
      await driver.attach(SPEC, state, namespace.pid);
      await namespace.close();
      await driver.release(SPEC, state);
      await eventually(async () => assert.deepEqual(await inventory(), before));
      const nothing = { mappings: [], egress: [] };
      await assertWardenError(() => driver.restore(SPEC, persisted(state), nothing), ['NATIVE_FAILED']);
      assert.deepEqual(await inventory(), before);
    });
    withLink('tells who has a link, also before it is set up', async (subject) => {
      if (subject.driver.linked === undefined) return;
      const [box, released] = [await start(subject, SPEC), await start(subject, OTHER)];
      const next = await subject.restart();
      assert.deepEqual([...(await next.linked!())].sort(), [SPEC.id, OTHER.id].sort());
      await next.setup(HOST);
      // whatever still runs in its namespace
      await next.release(OTHER, persisted(released.state));
      assert.deepEqual(await next.linked!(), [SPEC.id]);
      await released.namespace.close();
      await box.namespace.close();
      await eventually(async () => assert.deepEqual(await next.linked!(), []));
      await next.release(SPEC, persisted(box.state));
    });
    withLink('does nothing for what was released', async (subject) => {
      const { driver, inventory } = subject;
      const { egressRules, portMapping, bandwidth } = driver.supports;
      const before = await inventory();
      const box = await start(subject, SPEC);
      await end(subject, box);
      await eventually(async () => assert.deepEqual(await inventory(), before));
      await assertHarmless(
        {
          ...(egressRules && { allowEgress: () => driver.allowEgress(SPEC, box.state, rule({})) }),
          ...(portMapping && {
            mapPort: () => driver.mapPort(SPEC, box.state, { hostPort: 61_001, containerPort: 8080 }),
          }),
          ...(bandwidth && {
            setBandwidth: () => driver.setBandwidth(SPEC, box.state, { rate: 100_000n, burst: 1_000n }),
          }),
        },
        inventory,
      );
    });
    withSubject('denies egress until it is allowed', async (subject) => {
      if (!subject.driver.supports.egressRules)
        return unsupported(() => subject.driver.allowEgress(SPEC, subject.driver.plan(SPEC), rule({})));
      const box = await start(subject, SPEC);
      assert.equal(await box.namespace.connects(subject.outsideAddress, 7001), false);
      await subject.driver.allowEgress(
        SPEC,
        box.state,
        rule({
          network: { first: subject.outsideAddress, last: subject.outsideAddress },
          ports: { first: 7001, last: 7001 },
        }),
      );
      assert.equal(await box.namespace.connects(subject.outsideAddress, 7001), true);
      assert.equal(await box.namespace.connects(subject.outsideAddress, 7002), false);
      await end(subject, box);
    });
    withSubject('opens by the name of a rule nothing that the name has not led to', async (subject) => {
      const { driver, inventory } = subject;
      if (driver.supports.namedEgress !== true) return;
      const before = await inventory();
      const box = await start(subject, SPEC);
      const plain = await inventory();
      const egress = [
        rule({ domain: 'registry.example.org' }),
        rule({ domain: '*.example.com', protocol: 'all' }),
      ];
      for (const one of egress) await driver.allowEgress(SPEC, box.state, one);
      const named = await inventory();
      assert.notDeepEqual(named, plain);
      assert.equal(await box.namespace.connects(subject.outsideAddress, 7001), false);
      await driver.restore(SPEC, persisted(box.state), { mappings: [], egress });
      assert.deepEqual(await inventory(), named);
      assert.equal(await box.namespace.connects(subject.outsideAddress, 7001), false);
      await driver.restore(SPEC, persisted(box.state), { mappings: [], egress: [] });
      assert.deepEqual(await inventory(), plain);
      await driver.allowEgress(SPEC, box.state, egress[0]!);
      await end(subject, box);
      await eventually(async () => assert.deepEqual(await inventory(), before));
    });
    withLink('keeps containers apart and the host closed', async (subject) => {
      const [box, other] = [await start(subject, SPEC), await start(subject, OTHER)];
      await other.namespace.listen(8080);
      assert.equal(await box.namespace.connects(OTHER.containerIp, 8080), false);
      if (subject.driver.supports.closedInbound)
        assert.equal(await subject.connects('outside', OTHER.containerIp, 8080), false);
      await end(subject, box);
      await end(subject, other);
    });
    withSubject('publishes a port to the outside and to the host', async (subject) => {
      const mapping = { hostPort: 61_001, containerPort: 8080 };
      if (!subject.driver.supports.portMapping)
        return unsupported(() => subject.driver.mapPort(SPEC, subject.driver.plan(SPEC), mapping));
      const box = await start(subject, SPEC);
      await box.namespace.listen(8080);
      assert.equal(await subject.connects('outside', subject.hostAddress, 61_001), false);
      await subject.driver.mapPort(SPEC, box.state, mapping);
      await subject.driver.mapPort(SPEC, box.state, mapping);
      assert.equal(await subject.connects('outside', subject.hostAddress, 61_001), true);
      assert.equal(await subject.connects('host', '127.0.0.1', 61_001), true);
      const second = await start(subject, OTHER);
      await assertWardenError(() => subject.driver.mapPort(OTHER, second.state, mapping), ['ALREADY_EXISTS']);
      await end(subject, box);
      await end(subject, second);
      assert.equal(await subject.connects('outside', subject.hostAddress, 61_001), false);
    });
    withSubject(
      'takes back what was opened, as often as it is told, and leaves the rest',
      async (subject) => {
        const { driver, inventory } = subject;
        if (driver.supports.withdrawal !== true) {
          assert.equal(driver.withdraw, undefined);
          return;
        }
        const box = await start(subject, SPEC);
        await box.namespace.listen(8080);
        const plain = await inventory();
        const [one, other] = [7001, 7002].map((port) => rule({ ports: { first: port, last: port } })) as [
          EgressRule,
          EgressRule,
        ];
        const [gone, left] = [61_001, 61_003].map((hostPort) => ({ hostPort, containerPort: 8080 })) as [
          PortMapping,
          PortMapping,
        ];
        for (const egress of [one, other]) await driver.allowEgress(SPEC, box.state, egress);
        for (const mapping of [gone, left]) await driver.mapPort(SPEC, box.state, mapping);
        const kept = { mappings: [left], egress: [other] };
        const withdrawn = { mappings: [gone], egress: [one] };
        const check = async (): Promise<void> => {
          assert.equal(await box.namespace.connects(subject.outsideAddress, 7001), false);
          assert.equal(await box.namespace.connects(subject.outsideAddress, 7002), true);
          assert.equal(await subject.connects('outside', subject.hostAddress, 61_001), false);
          assert.equal(await subject.connects('outside', subject.hostAddress, 61_003), true);
        };
        await driver.withdraw!(SPEC, persisted(box.state), { withdrawn, kept });
        await check();
        const made = await inventory();
        await driver.withdraw!(SPEC, persisted(box.state), { withdrawn, kept });
        assert.deepEqual(await inventory(), made);
        const next = await subject.restart();
        await next.setup(HOST);
        await next.restore(SPEC, persisted(box.state), kept);
        assert.deepEqual(await inventory(), made);
        await check();
        // what was given back is somebody else's to take
        const second = await start({ ...subject, driver: next }, OTHER);
        await next.mapPort(OTHER, second.state, gone);
        await end({ ...subject, driver: next }, second);
        await next.withdraw!(SPEC, persisted(box.state), {
          withdrawn: kept,
          kept: { mappings: [], egress: [] },
        });
        await eventually(async () => assert.deepEqual(await inventory(), plain));
        await end({ ...subject, driver: next }, box);
      },
    );
    withSubject('refuses a port that a program of the host listens on', async (subject) => {
      if (!subject.driver.supports.portMapping) return;
      const box = await start(subject, SPEC);
      await subject.listenOnHost(61_002);
      const before = await subject.inventory();
      const mapping = { hostPort: 61_002, containerPort: 8080 };
      await assertWardenError(() => subject.driver.mapPort(SPEC, box.state, mapping), ['ALREADY_EXISTS']);
      assert.deepEqual(await subject.inventory(), before);
      await end(subject, box);
    });
    withSubject('limits bandwidth, reports what was asked for, and leaves nothing of it', async (subject) => {
      const { driver } = subject;
      const limit = { rate: 100_000n, burst: 1_000n };
      if (!driver.supports.bandwidth)
        return unsupported(() => driver.setBandwidth(SPEC, driver.plan(SPEC), limit));
      const before = await subject.inventory();
      const box = await start(subject, SPEC);
      assert.deepEqual(await driver.bandwidth(SPEC, box.state), stat(UNLIMITED, UNLIMITED));
      const unlimited = await subject.inventory();
      await driver.setBandwidth(SPEC, box.state, limit);
      assert.deepEqual(await driver.bandwidth(SPEC, box.state), stat(100_000n, 1_000n));
      assert.notDeepEqual(await subject.inventory(), unlimited);
      await driver.setBandwidth(SPEC, box.state, { rate: 200_000n, burst: 2_000n });
      for (const wrong of [
        { rate: 0n, burst: 1n },
        { rate: 1n, burst: 0n },
      ])
        await assertWardenError(() => driver.setBandwidth(SPEC, box.state, wrong), ['INVALID_SPEC']);
      assert.deepEqual(await driver.bandwidth(SPEC, box.state), stat(200_000n, 2_000n));
      const nothing = { mappings: [], egress: [] };
      await driver.restore(SPEC, persisted(box.state), { ...nothing, bandwidth: limit });
      assert.deepEqual(await driver.bandwidth(SPEC, box.state), stat(100_000n, 1_000n));
      await driver.restore(SPEC, persisted(box.state), nothing);
      assert.deepEqual(await driver.bandwidth(SPEC, box.state), stat(UNLIMITED, UNLIMITED));
      assert.deepEqual(await subject.inventory(), unlimited);
      await driver.setBandwidth(SPEC, box.state, limit);
      await end(subject, box);
      await eventually(async () => assert.deepEqual(await subject.inventory(), before));
    });
    withLink('restores what is recorded', async (subject) => {
      const { supports } = subject.driver;
      const box = await start(subject, SPEC);
      const egress = supports.egressRules ? [rule({ ports: { first: 7002, last: 7002 } })] : [];
      const mappings = supports.portMapping ? [{ hostPort: 61_001, containerPort: 8080 }] : [];
      await subject.driver.restore(SPEC, persisted(box.state), { mappings, egress });
      const once = await subject.inventory();
      await subject.driver.restore(SPEC, persisted(box.state), { mappings, egress });
      assert.deepEqual(await subject.inventory(), once);
      assert.equal(await box.namespace.connects(subject.outsideAddress, 7002), supports.egressRules);
      assert.equal(await box.namespace.connects(subject.outsideAddress, 7001), false);
      await end(subject, box);
    });
    withLink('sweeps what nobody claims and nothing else', async (subject) => {
      const before = await subject.inventory();
      const [box, orphan] = [await start(subject, SPEC), await start(subject, OTHER)];
      assert.deepEqual(await subject.driver.sweep(new Set([SPEC.id])), [OTHER.id]);
      assert.deepEqual(await subject.driver.sweep(new Set([SPEC.id])), []);
      await orphan.namespace.close();
      await end(subject, box);
      await eventually(async () => assert.deepEqual(await subject.inventory(), before));
    });
  });
}

const UNLIMITED = 4_294_967_295n;

function stat(rate: bigint, burst: bigint): BandwidthStat {
  return { inRate: rate, inBurst: burst, outRate: rate, outBurst: burst };
}

interface Box {
  readonly spec: NetworkSpec;
  readonly state: DriverState;
  readonly namespace: ContainerNamespace;
}

async function start({ driver, makeNamespace }: NetworkSubject, spec: NetworkSpec): Promise<Box> {
  const state = driver.plan(spec);
  const namespace = await makeNamespace();
  await driver.attach(spec, state, namespace.pid);
  await namespace.configure(driver.inside(spec, state));
  return { spec, state, namespace };
}

async function end({ driver }: NetworkSubject, box: Box): Promise<void> {
  await box.namespace.close();
  await driver.release(box.spec, persisted(box.state));
}

function rule(over: Partial<EgressRule>): EgressRule {
  return { protocol: 'tcp', log: false, ...over };
}

async function unsupported(action: () => Promise<unknown>): Promise<void> {
  await assertWardenError(action, ['UNSUPPORTED']);
}

/** The kernel takes links away after their namespace; the check waits for it, ten seconds at most. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
