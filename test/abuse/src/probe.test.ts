/**
 * The probe in three roles in our containers and in two in runc's, held against golden tables and against
 * each other [SECURITY E66 E67].
 */
import type { ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import { describeWith, FAR_ADDRESS, HOST_ADDRESS, OUTSIDE_ADDRESS, withDaemon } from '@warden/test-harness';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeHostileImage, makeImage } from './image.ts';
import { echoServer, helper, hostFacts, IS_SHORT, makeForeignObjects, makeSentinel } from './place.ts';
import { addRows, type Row } from './report.ts';
import { drift, hasInterruptDoor, type Outcome, type Outcomes, parse, word } from './results.ts';
import { type RuncContainer, runcProblem, startRunc } from './runc.ts';
import { text } from './text.ts';

const PORT = 7000;
/** A user without any right in runc's container: the number matters to nobody. */
const USER = 10_000;

/** Open in ours although this runc refuses it, each with its reason. */
const REMAINDER: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [
    /^call\/landlock_restrict_self$/,
    'allowed by moby too; the kernel wants no_new_privs, which only ours sets. It takes rights away, nothing else',
  ],
  [
    /^proc\/host-paths-in-mountinfo$/,
    "an overlay names its layers in mountinfo, in moby as well; runc's container has no overlay here",
  ],
  [
    /^privileges\/foreign-group$/,
    "the hostile image's own /etc/group puts root in its group disk: a group of the container's private range",
  ],
  [
    /^call\/(cachestat|fchmodat2|map_shadow_stack|futex_(wake|wait|requeue)|statmount|listmount|mseal|(set|get|list|remove)xattrat)$/,
    "newer than this runc's libseccomp, which so answers ENOSYS; moby's profile allows it",
  ],
];

describeWith(['root', 'isolated', 'overlayfs', 'python3'], 'the probe', () => {
  const suite = withDaemon();
  const outcomes = new Map<string, Outcomes>();
  const helpers: ChildProcess[] = [];
  let warden: WardenClient;
  let neighbour: ClientContainer;
  let sentinel = '';
  let canary = '';
  let image = '';
  let callers = '';
  let facts = '';
  let runc: RuncContainer | undefined;
  let removeForeign: (() => void) | undefined;
  const abstract = `warden-abuse-${process.pid}`;

  beforeAll(async () => {
    const { place } = suite.daemon;
    sentinel = makeSentinel(place);
    canary = path.join(place.directory, 'canary-of-host/log');
    fs.mkdirSync(path.dirname(canary));
    image = path.join(place.directory, 'image');
    makeImage(image);
    removeForeign = makeForeignObjects();
    warden = await suite.daemon.connect();
    neighbour = await warden.create({ rootfs: image });
    await neighbour.spawn(`exec /bin/abuse-probe listen ${PORT}`);
    const { host, outside } = place.network;
    helpers.push(
      await helper(host.enter(echoServer(PORT, abstract))),
      await helper(outside.enter(echoServer(PORT))),
    );
    helpers[1]!.stdout!.on('data', (data) => {
      callers += data;
    });
    facts = hostFacts(sentinel);
  });
  afterAll(async () => {
    for (const one of helpers) one.kill('SIGKILL');
    removeForeign?.();
    runc?.remove();
  });

  async function words(box?: ClientContainer): Promise<string[]> {
    const other = await neighbour.info();
    const hostIp = box === undefined ? undefined : (await box.info()).hostIp;
    const reach = [
      ...(hostIp === undefined ? [] : [`host-end=${hostIp}:${PORT}`]),
      `host=${HOST_ADDRESS}:${PORT}`,
      `outside=${OUTSIDE_ADDRESS}:${PORT}`,
      `far=${FAR_ADDRESS}:${PORT}`,
      `neighbour=${other.containerIp}:${PORT}`,
      `neighbour-host-end=${other.hostIp}:${PORT}`,
    ];
    return [
      'abuse-probe',
      ...(IS_SHORT ? ['--brief'] : []),
      '--sentinel',
      sentinel,
      '--abstract',
      abstract,
      '--reach',
      reach.join(','),
    ];
  }

  async function probe(role: string, rootfs: string, privileged: boolean): Promise<Outcomes> {
    const box = await warden.create({ rootfs });
    const script = (await words(box)).join(' ');
    const { stdout, stderr } = await box.run(script, { privileged });
    const found = parse(`${text(stdout)}${text(stderr)}`, role);
    outcomes.set(role, found);
    // the first process was sent every signal, and its container serves still
    const alive = await box.run(`abuse-probe --only nothing`, { privileged });
    expect(text(alive.stdout)).toBe('end - -\n');
    await box.destroy();
    return found;
  }

  async function expectHostUnharmed(): Promise<void> {
    expect(hostFacts(sentinel)).toBe(facts);
    await warden.ping();
    expect((await neighbour.info()).state).toBe('active');
    expect(callers).not.toContain('198.51.100.77');
  }

  it('the ones to reach can be reached from where it is allowed, or the probe would prove nothing', async () => {
    const { host, outside } = suite.daemon.place.network;
    const connect = (address: string): string[] => [
      'python3',
      '-c',
      `import socket; socket.create_connection(('${address}', ${PORT}), 5)`,
    ];
    for (const address of [HOST_ADDRESS, OUTSIDE_ADDRESS, FAR_ADDRESS, (await neighbour.info()).containerIp!])
      expect(host.try(connect(address)), address).toMatchObject({ status: 0 });
    expect(outside.try(connect(HOST_ADDRESS))).toMatchObject({ status: 0 });
  });

  it('as the unprivileged user everything is as the golden table says [SECURITY E66]', async () => {
    expect(drift('user', await probe('user', image, false))).toEqual([]);
    await expectHostUnharmed();
  });

  it('as root inside everything is as the golden table says [SECURITY E66]', async () => {
    expect(drift('root', await probe('root', image, true))).toEqual([]);
    await expectHostUnharmed();
  });

  it('as root of a hostile root file system everything is as the golden table says [SECURITY E47 E66]', async () => {
    const hostile = path.join(suite.daemon.place.directory, 'hostile-image');
    makeHostileImage(hostile, canary);
    expect(drift('hostile', await probe('hostile', hostile, true))).toEqual([]);
    expect(fs.existsSync(canary), 'a program of the root file system saw the host').toBe(false);
    await expectHostUnharmed();
  });

  it('what is open in ours is open beside in runc with the defaults of moby [SECURITY E67]', async (context) => {
    const problem = runcProblem();
    if (problem !== undefined) context.skip(`needs: ${problem}`);
    runc = startRunc(suite.daemon.place);
    for (const [role, uid] of [
      ['runc-user', USER],
      ['runc-root', 0],
    ] as const) {
      const [, ...rest] = await words();
      const { stdout, stderr } = runc.run(uid, ['/bin/abuse-probe', ...rest]);
      outcomes.set(role, parse(`${stdout}${stderr}`, role));
    }
    const more: string[] = [];
    for (const [ours, theirs] of [
      ['user', 'runc-user'],
      ['root', 'runc-root'],
      ['hostile', 'runc-root'],
    ] as const) {
      expect(outcomes.get(ours), `the probe as ${ours}`).toBeDefined();
      for (const [name, outcome] of outcomes.get(ours)!) {
        const beside = outcomes.get(theirs)!.get(name);
        if (outcome.result !== 'open' || beside?.result === 'open') continue;
        if (REMAINDER.some(([pattern]) => pattern.test(name))) continue;
        more.push(
          `${ours}: ${name} ${outcome.detail}, in runc ${beside === undefined ? 'not tried' : word(beside)}`,
        );
      }
    }
    await expectHostUnharmed();
    expect(more).toEqual([]);
  });

  it('every case is in the table', () => {
    const names = new Set([...outcomes.values()].flatMap((one) => [...one.keys()]));
    const cell = (outcome: Outcome | undefined): string =>
      outcome === undefined ? '-' : `${outcome.result}${outcome.detail === '-' ? '' : ` ${outcome.detail}`}`;
    const rows: Row[] = [...names].map((name) => {
      const [user, root, hostile, theirs, theirRoot] = [
        'user',
        'root',
        'hostile',
        'runc-user',
        'runc-root',
      ].map((role) => outcomes.get(role)?.get(name));
      return {
        name,
        user: cell(user),
        root: cell(root),
        hostile: cell(hostile),
        runc: theirs === undefined && theirRoot === undefined ? '-' : `${cell(theirs)} / ${cell(theirRoot)}`,
        verdict: verdict(name, [user, root, hostile], [theirs, theirRoot, theirRoot]),
      };
    });
    addRows('probe', [...rows, ...untried()]);
    expect(rows.length).toBeGreaterThan(1000);
  });
});

/** What the threat list has and this host cannot try, with the reason. */
function untried(): Row[] {
  const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8');
  const isUnified = !/ - cgroup /.test(mounts);
  const missing: readonly (readonly [isMissing: boolean, name: string, reason: string])[] = [
    [!isUnified, 'E16 device program of cgroup v2', 'this host has cgroup v1; npm run vm has v2'],
    [isUnified, 'E14 E16 hierarchies of cgroup v1', 'this host has cgroup v2 alone'],
    [process.arch !== 'x64', 'E32 doors of i386 and x32', `this processor is ${process.arch}`],
    [
      process.arch === 'x64' && !hasInterruptDoor(),
      'E32 the door of i386',
      'this machine kills whoever tries it, in a container or not',
    ],
    [
      process.arch !== 'arm64',
      'E32 the filter of arm64',
      'another processor: npm run build:platforms runs its unit test by emulation',
    ],
    [
      !fs.existsSync('/proc/modules'),
      'E24 a module that really loads',
      'this kernel has no modules; the calls are refused in any case',
    ],
    [!fs.existsSync('/sys/kernel/security/apparmor'), 'AppArmor profiles', 'this kernel has no AppArmor'],
    [!fs.existsSync('/dev/kvm'), 'E17 a node of kvm that exists', 'this host has no /dev/kvm'],
  ];
  return missing
    .filter(([isMissing]) => isMissing)
    .map(([, name, reason]) => ({
      name,
      user: '-',
      root: '-',
      hostile: '-',
      runc: '-',
      verdict: `not tried: ${reason}`,
    }));
}

function verdict(
  name: string,
  ours: readonly (Outcome | undefined)[],
  theirs: readonly (Outcome | undefined)[],
): string {
  if (ours.every((one) => one === undefined || one.result === 'inconclusive'))
    return `not tried: ${ours.find((one) => one)?.detail}`;
  const isOpen = ours.some((one) => one?.result === 'open');
  if (!isOpen) return 'held';
  const known = REMAINDER.find(([pattern]) => pattern.test(name));
  if (known) return `open: ${known[1]}`;
  return ours.every(
    (one, at) => one?.result !== 'open' || theirs[at] === undefined || theirs[at].result === 'open',
  )
    ? 'open as in moby'
    : 'OPEN';
}
