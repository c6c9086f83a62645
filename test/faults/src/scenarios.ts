/**
 * How each failpoint of the daemon is reached, and what must be there afterwards. The names are the
 * program's: one that is listed and has no entry here, or the other way round, fails the suite.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, ClientJob } from '@warden/client';
import { archiveImage, DEFAULT_ROOTFS, OUTSIDE_ADDRESS } from '@warden/test-harness';
import { expect } from 'vitest';
import {
  ALLOWED_PORT,
  endInit,
  expectAllowed,
  expectClosed,
  type StartOptions,
  type World,
} from './world.ts';

/** The container something is done to. */
export const SUBJECT = 'subject';
const MIB = 1024n * 1024n;
const BOUND = 20_000;

/** One way to reach a failpoint. */
export interface Case {
  /** What distinguishes it from others of the same point. */
  readonly name?: string;
  /** So many times it is passed before. */
  readonly skip?: number;
  /** The daemon has disk limits, by images. */
  readonly quota?: true;
  /** The daemon has a prepared container, which a create claims. */
  readonly warm?: true;
  /**
   * Records are not flushed to the disk, which is the default: a new container's is then written in the place
   * of its intent.
   */
  readonly unflushed?: true;
  /** It is reached while the daemon starts: `prepare` then runs before, with another daemon, which is killed. */
  readonly atStart?: true;
  prepare?(world: World): Promise<void>;
  act?(world: World): Promise<unknown>;
  /** Whether the subject is there after a kill and a restart. `aside`: it was set aside. */
  readonly after: 'there' | 'gone' | 'aside';
  /** Ports it then has. */
  readonly ports?: number;
  /** What more must be true of a subject that is there. */
  check?(world: World, box: ClientContainer): Promise<void>;
  /** The same after an error, and after the repetition if there was one; default: `check`. */
  readonly checkRepeated?: Case['check'] | false;
  /**
   * What an error does. `answer`: the client gets it, and the same again succeeds. `start`: the daemon does
   * not start, saying why, and the next one does. `aside`: the witness is set aside, untouched. `tolerated`:
   * what was asked for happens all the same.
   */
  readonly error: 'answer' | 'start' | 'aside' | 'tolerated';
}

/** What a case asks of the daemon, if it is not what all are tried with. */
export function settingsOf({ quota, warm, unflushed }: Case): StartOptions | undefined {
  return quota || warm || unflushed ? { quota, warm, unflushed } : undefined;
}

const subject = (world: World): ClientContainer => world.client.container(SUBJECT);
const make = async (world: World): Promise<void> => {
  await world.client.create({ handle: SUBJECT });
};
const create = (world: World): Promise<unknown> => world.client.create({ handle: SUBJECT });
const usable = async (_world: World, box: ClientContainer): Promise<void> => {
  expect((await box.run('exit 3')).exitStatus).toBe(3);
};

/** Ends with status 9 and its last words when it is told. */
const PATIENT =
  "trap 'echo out; exit 9' USR1; mkfifo /tmp/f; exec 4<>/tmp/f; echo ready; touch /tmp/ready; while :; do read -r -u 4; done";
const SIGUSR1 = 10;

let job = 0;
const patient = (world: World): ClientJob => subject(world).job(job);
/** Ready without a stream: one that is left may still be at a failpoint of its own. */
const makePatient = async (world: World, before = ''): Promise<void> => {
  await make(world);
  job = (await subject(world).spawn(`${before}${PATIENT}`)).id;
  await subject(world).run('until [ -e /tmp/ready ]; do sleep 0.02; done');
};
/** The signal may be the last thing that daemon hears. */
const tellPatient = (world: World): Promise<void> =>
  patient(world)
    .kill({ signal: SIGUSR1, tree: false })
    .catch(() => {});
const patientEnded = async (world: World): Promise<void> => {
  await tellPatient(world); // where it was not told before
  const { exitStatus, stdout } = await patient(world).link();
  expect({ exitStatus, stdout: Buffer.from(stdout).toString() }).toEqual({
    exitStatus: 9,
    stdout: 'ready\nout\n',
  });
};
const link = async (world: World): Promise<unknown> => {
  const linked = patient(world).link();
  linked.catch(() => {}); // met below
  await tellPatient(world);
  return linked;
};
const stream = async (world: World): Promise<unknown> => {
  const reading = (async () => {
    let text = '';
    for await (const { data } of patient(world).output) text += Buffer.from(data).toString();
    return text;
  })();
  reading.catch(() => {}); // met below
  await tellPatient(world);
  return reading;
};

const creation = (after: Case['after']): Case => ({ act: create, after, error: 'answer', check: usable });
const destruction: Case = {
  prepare: (world) => makePatient(world),
  act: (world) => subject(world).destroy(),
  after: 'gone',
  error: 'answer',
};
/** Behind the answer; it is tried again. */
const removal: Case = { ...destruction, error: 'tolerated' };
const stopping: Case = {
  prepare: (world) => makePatient(world),
  act: (world) => subject(world).stop(),
  after: 'there',
  error: 'answer',
  async check(world, box) {
    await expect.poll(async () => (await box.info()).jobIds, { timeout: BOUND }).toEqual([]);
    expect((await box.info()).state).toBe('stopped');
    expect((await patient(world).link()).exitStatus).toBe(255);
  },
};
const killing: Case = {
  ...stopping,
  prepare: (world) => makePatient(world, "trap '' TERM; "),
  act: (world) => subject(world).stop({ kill: true }),
};
/** Whatever it was, it goes on when it is told. */
const goesOn = async (world: World, box: ClientContainer): Promise<void> => {
  await box.resume();
  await usable(world, box);
};
const pausing: Case = {
  prepare: make,
  act: (world) => subject(world).pause(),
  after: 'there',
  error: 'answer',
  check: goesOn,
};
const resuming: Case = {
  prepare: async (world) => {
    await make(world);
    await subject(world).pause();
  },
  act: (world) => subject(world).resume(),
  after: 'there',
  error: 'answer',
  check: goesOn,
};
const spawning: Case = {
  prepare: make,
  act: (world) => subject(world).spawn(PATIENT),
  after: 'there',
  error: 'answer',
  async check(world, box) {
    const { jobIds } = await box.info();
    expect(jobIds.length).toBeLessThanOrEqual(1);
    for (const id of jobIds) {
      await box.job(id).kill();
      expect((await box.job(id).link()).exitStatus).toBe(255);
    }
    await usable(world, box);
  },
};
const ending: Case = {
  prepare: (world) => makePatient(world),
  act: tellPatient,
  after: 'there',
  check: patientEnded,
  checkRepeated: async (world) => expect((await patient(world).link()).exitStatus).toBe(9),
  error: 'tolerated',
};
const linking: Case = {
  prepare: (world) => makePatient(world),
  act: link,
  after: 'there',
  check: patientEnded,
  checkRepeated: false,
  error: 'answer',
};
const streaming: Case = { ...linking, act: stream };
const publishing = (ports: number): Case => ({
  prepare: make,
  act: (world) => subject(world).netIn({ containerPort: 80 }),
  after: 'there',
  ports,
  error: 'answer',
  check: async (_world, box) => {
    expect((await box.netIn({ containerPort: 81 })).containerPort).toBe(81);
  },
});
const allowing: Case = {
  prepare: make,
  act: (world) => subject(world).netOut({ network: OUTSIDE_ADDRESS, port: ALLOWED_PORT, protocol: 'udp' }),
  after: 'there',
  error: 'answer',
  check: expectAllowed,
};
/** Of the pool. */
const OPEN = { hostPort: 61_500, containerPort: 80 };
const RULE = { network: OUTSIDE_ADDRESS, port: ALLOWED_PORT, protocol: 'udp' } as const;
/** `left`: ports that are published after a kill there. */
const withdrawing = (left: number): Case => ({
  prepare: async (world) => {
    await make(world);
    await subject(world).netIn(OPEN);
    await subject(world).netOut(RULE);
  },
  act: (world) => subject(world).removeNetRules({ ports: [OPEN.hostPort], egress: [RULE] }),
  after: 'there',
  ports: left,
  error: 'answer',
  check: async (world, box) => {
    const { ports, egress } = await box.netRules();
    expect([ports.length, egress.length]).toEqual([left, left]);
    if (left > 0) await expectAllowed(world, box);
    await box.removeNetRules({ ports: [OPEN.hostPort], egress: [RULE] });
    await expectClosed(world, box);
  },
  checkRepeated: async (world, box) => {
    expect(await box.netRules()).toEqual({ ports: [], egress: [] });
    await expectClosed(world, box);
  },
});
const memory = (inForce: bigint): Case => ({
  prepare: make,
  act: (world) => subject(world).limitMemory(64n * MIB),
  after: 'there',
  error: 'answer',
  check: async (_world, box) => expect(await box.limitMemory()).toBe(inForce),
  checkRepeated: async (_world, box) => expect(await box.limitMemory()).toBe(64n * MIB),
});
const UNLIMITED = 0x7fff_ffff_ffff_f000n;
const shares: Case = {
  prepare: make,
  act: (world) => subject(world).limitCpu(512n),
  after: 'there',
  error: 'answer',
  check: async (_world, box) => expect(await box.limitCpu()).toBe(512n),
};
const disk = (blockHard: bigint): Case => ({
  quota: true,
  prepare: make,
  act: (world) => subject(world).limitDisk({ blockHard: 50_000n }),
  after: 'there',
  error: 'answer',
  check: async (_world, box) => expect((await box.limitDisk({}))?.blockHard).toBe(blockHard),
  checkRepeated: async (_world, box) => expect((await box.limitDisk({}))?.blockHard).toBe(50_000n),
});
const bandwidth: Case = {
  prepare: make,
  act: (world) => subject(world).limitBandwidth({ rate: 1_000_000n, burst: 2_000_000n }),
  after: 'there',
  error: 'answer',
  check: async (_world, box) => expect((await box.info()).bandwidthStat?.inRate).toBe(1_000_000n),
};
const copyIn = (world: World): Promise<void> =>
  subject(world).copyIn(path.join(world.place.directory, 'source'), '/tmp/copied');
const copyOut = (world: World): Promise<void> =>
  subject(world).copyOut('/etc/passwd', path.join(world.place.directory, 'target'));
const copyingIn: Case = {
  prepare: make,
  act: copyIn,
  after: 'there',
  error: 'answer',
  async check(world, box) {
    await copyIn(world);
    expect(Buffer.from((await box.run('cat /tmp/copied')).stdout).toString()).toBe('to be copied');
  },
};
const copyingOut: Case = {
  prepare: make,
  act: copyOut,
  after: 'there',
  error: 'answer',
  async check(world) {
    await copyOut(world);
    expect(fs.readFileSync(path.join(world.place.directory, 'target'), 'utf8')).toContain('vcap');
  },
};
const draining: Case = {
  prepare: (world) => makePatient(world),
  act: async (world) => process.kill(world.pid, 'SIGUSR2'),
  after: 'there',
  check: patientEnded,
  error: 'tolerated',
};
const starting: Case = {
  atStart: true,
  prepare: (world) => makePatient(world),
  after: 'there',
  check: patientEnded,
  error: 'start',
};
const takingOver: Case = { ...starting, error: 'aside' };
/** Its init is killed while no daemon is there. */
const dying: Case = {
  atStart: true,
  async prepare(world) {
    await make(world);
    const { containerPath } = await subject(world).info();
    await world.kill();
    await endInit(world, containerPath!);
  },
  after: 'gone',
  error: 'tolerated',
};
const unreadable: Case = {
  atStart: true,
  async prepare(world) {
    await make(world);
    const { containerPath } = await subject(world).info();
    await world.kill();
    fs.writeFileSync(path.join(containerPath!, 'snapshot.json'), '{"handle": "half a rec');
  },
  after: 'aside',
  error: 'tolerated',
};

const IMAGE = 'image';
const importImage = async (world: World, name = IMAGE, more = false): Promise<unknown> => {
  const file = path.join(world.place.directory, more ? 'more.tar' : 'image.tar');
  const layer = path.join(world.place.directory, 'layer');
  fs.mkdirSync(layer, { recursive: true });
  fs.writeFileSync(path.join(layer, 'more'), '');
  if (!fs.existsSync(file)) archiveImage(file, IMAGE, DEFAULT_ROOTFS, ...(more ? [layer] : []));
  return world.client.images.import({ path: file, name });
};
const forgetImages = async (world: World): Promise<void> => {
  for (const { id, usedBy } of await world.client.images.list())
    if (usedBy.length === 0) await world.client.images.remove(id);
};
const makeFromImage = async (world: World): Promise<unknown> => {
  await importImage(world);
  return world.client.create({ handle: SUBJECT, image: IMAGE });
};
/** Each that is there is whole, nothing lies about, and a container can be made from it. */
const wholeImages = async (world: World): Promise<void> => {
  const store = path.join(world.place.depot, '.images');
  expect(fs.readdirSync(path.join(store, 'staging'))).toEqual([]);
  const images = await world.client.images.list();
  expect(fs.readdirSync(path.join(store, 'layers')).length).toBe(
    new Set(images.flatMap(({ layers }) => layers)).size,
  );
  await importImage(world);
  const box = await world.client.create({ image: IMAGE });
  await usable(world, box);
  await expect(world.client.images.remove(IMAGE)).rejects.toMatchObject({ code: 'BAD_STATE' });
  await box.destroy();
  await forgetImages(world);
};
const importing: Case = {
  async prepare(world) {
    await make(world);
    await forgetImages(world);
  },
  act: (world) => importImage(world),
  after: 'there',
  error: 'answer',
  check: wholeImages,
};
/** The name goes to another image, and what has lost it is collected. */
const collecting: Case = {
  ...importing,
  async prepare(world) {
    await make(world);
    await importImage(world);
    await importImage(world, IMAGE, true);
    await importImage(world, 'other');
    await world.client.images.remove('other').catch(() => {});
    await importImage(world);
  },
  act: (world) => world.client.images.collect(),
};
const using = (after: Case['after']): Case => ({
  ...creation(after),
  prepare: async (world) => void (await importImage(world)),
  act: (world) => world.client.create({ handle: SUBJECT, image: IMAGE }),
});
const releasing: Case = {
  ...destruction,
  prepare: async (world) => void (await makeFromImage(world)),
  error: 'tolerated',
};
const snapshotting: Case = {
  prepare: async (world) => void (await makeFromImage(world)),
  act: (world) => world.client.images.snapshot(SUBJECT, 'snap'),
  after: 'there',
  error: 'answer',
  async check(world, box) {
    await usable(world, box);
    await wholeImages(world);
  },
};

/** By name. */
export const SCENARIOS: Readonly<Record<string, readonly Case[]>> = {
  'start.lock': [starting],
  'start.drivers': [starting],
  'start.core': [starting],
  'start.listen': [starting],
  'drain.requests': [draining],
  'drain.close': [draining],
  'create.validate': [creation('gone')],
  'create.reserve': [creation('gone')],
  'create.directory': [creation('gone')],
  'create.record': [creation('gone')],
  'create.quota': [creation('gone'), { ...creation('gone'), name: 'with an image', quota: true }],
  'create.filesystem': [creation('gone')],
  'create.cgroup': [creation('gone')],
  'create.prepare': [creation('gone')],
  'create.launch': [creation('gone')],
  'create.network': [creation('gone')],
  'create.proceed': [creation('gone')],
  'create.snapshot': [
    creation('there'),
    { ...creation('there'), name: 'claimed', warm: true },
    { ...creation('there'), name: 'not flushed', unflushed: true },
  ],
  'create.register': [creation('there'), { ...creation('there'), name: 'claimed', warm: true }],
  'record.open': [
    { ...creation('gone'), name: 'intent' },
    { ...creation('gone'), name: 'snapshot', skip: 1 },
    { ...creation('gone'), name: 'snapshot, not flushed', skip: 1, unflushed: true },
    { ...publishing(0), name: 'net in' },
  ],
  'record.write': [
    { ...creation('gone'), name: 'intent' },
    { ...creation('gone'), name: 'snapshot', skip: 1 },
    { ...creation('gone'), name: 'claimed', warm: true },
    { ...memory(UNLIMITED), name: 'limit' },
  ],
  'record.sync': [
    { ...creation('gone'), name: 'intent' },
    { ...creation('gone'), name: 'snapshot', skip: 1 },
  ],
  'record.rename': [
    { ...creation('gone'), name: 'intent' },
    { ...creation('gone'), name: 'intent, not flushed', unflushed: true },
    { ...creation('there'), name: 'snapshot', skip: 1 },
    { ...publishing(1), name: 'net in' },
  ],
  'record.sync-directory': [
    { ...creation('gone'), name: 'intent' },
    { ...creation('there'), name: 'snapshot', skip: 1 },
  ],
  'destroy.record': [destruction],
  'destroy.stop': [destruction],
  'destroy.copies': [destruction],
  'destroy.init': [destruction],
  'destroy.kill': [destruction],
  'destroy.jobs': [destruction],
  'destroy.network': [destruction],
  'destroy.cgroup': [destruction],
  'destroy.discard': [{ ...destruction, quota: true }],
  'destroy.filesystem': [removal, { ...destruction, name: 'with an image', quota: true }],
  'destroy.quota': [destruction],
  'destroy.directory': [destruction],
  'stop.record': [stopping],
  'stop.signal': [stopping],
  'stop.kill': [killing],
  'stop.empty': [stopping],
  'stop.jobs': [stopping],
  'stop.done': [stopping],
  'pause.record': [pausing],
  'pause.freeze': [pausing],
  'resume.thaw': [resuming],
  'resume.record': [resuming],
  'spawn.validate': [spawning],
  'spawn.note': [spawning],
  'spawn.send': [spawning],
  'spawn.start': [spawning],
  'spawn.adopt': [spawning],
  'job.exit': [ending, { ...linking, name: 'linked', error: 'tolerated' }],
  'job.drain': [ending, { ...linking, name: 'linked', error: 'tolerated' }],
  'job.store': [ending, { ...linking, name: 'linked', error: 'tolerated' }],
  'link.wait': [linking],
  'link.end': [linking],
  'link.info': [linking],
  'stream.begin': [streaming],
  'stream.chunk': [streaming],
  'stream.end': [streaming],
  'stream.info': [streaming],
  'net-in.port': [publishing(0)],
  'net-in.record': [publishing(1)],
  'net-in.map': [publishing(1)],
  'net-out.record': [allowing],
  'net-out.rule': [allowing],
  'net-rules.withdraw': [withdrawing(1)],
  'net-rules.record': [withdrawing(0)],
  'limit-memory.watch': [memory(UNLIMITED)],
  'limit-memory.record': [memory(64n * MIB)],
  'limit-memory.apply': [memory(64n * MIB)],
  'limit-cpu.record': [shares],
  'limit-cpu.apply': [shares],
  'limit-disk.read': [disk(0n)],
  'limit-disk.apply': [disk(50_000n)],
  'limit-bandwidth.record': [bandwidth],
  'limit-bandwidth.apply': [bandwidth],
  'copy-in.check': [copyingIn],
  'copy-in.start': [copyingIn],
  'copy-in.end': [copyingIn],
  'copy-out.check': [copyingOut],
  'copy-out.start': [copyingOut],
  'copy-out.end': [copyingOut],
  'snapshot.freeze': [snapshotting],
  'snapshot.capture': [snapshotting],
  'snapshot.thaw': [snapshotting],
  'image-import.staging': [importing, { ...snapshotting, name: 'snapshot' }],
  'image-import.unpack': [importing],
  'image-import.note': [importing],
  'image-import.layer': [importing, { ...snapshotting, name: 'snapshot' }],
  'image-import.index': [importing],
  'image-index.write': [importing],
  'image-remove.index': [collecting],
  'image-remove.staging': [collecting],
  'image-use.note': [using('gone')],
  'image-release.note': [releasing],
  'drain.settle': [draining],
  'drain.release': [draining],
  'recover.read': [starting],
  'recover.connect': [takingOver],
  'recover.network': [takingOver],
  'recover.limits': [takingOver],
  'recover.register': [takingOver],
  'recover.jobs': [takingOver],
  'recover.acknowledge': [{ ...takingOver, error: 'tolerated' }],
  'recover.record': [takingOver],
  'recover.watch': [takingOver],
  'recover.kill': [dying],
  'recover.drivers': [dying],
  'recover.directory': [dying],
  'recover.quarantine': [unreadable],
  'recover.network-swept': [starting],
  'recover.cgroups-swept': [starting],
  'init.directory': [creation('gone')],
  'init.start': [creation('gone')],
  'init.cloned': [creation('gone')],
  'init.pid-file': [creation('gone')],
  'init.go': [creation('gone')],
  'init.ready': [creation('gone')],
  'init.connected': [creation('gone')],
  'copy.inside': [copyingIn, { ...copyingOut, name: 'out' }],
  'copy.outside': [copyingIn, { ...copyingOut, name: 'out' }],
  'nftables.setup': [starting],
  'nftables.rules': [creation('gone')],
  'nftables.restore-rules': [takingOver],
  'nftables.disconnect': [destruction],
  'nftables.remove-rules': [destruction],
  'cgroup.make': [creation('gone'), { ...creation('gone'), name: 'the third', skip: 2 }],
  'cgroup.policy': [creation('gone')],
  'cgroup.keep': [removal],
  'image.file': [{ ...creation('gone'), quota: true }],
  'image.loop': [{ ...creation('gone'), quota: true }],
  'image.mount': [{ ...creation('gone'), quota: true }],
  'image.unmount': [{ ...destruction, quota: true, error: 'tolerated' }],
};

/** Every scenario with its title. Starting with disk limits costs a second: those follow each other. */
export const CASES = Object.entries(SCENARIOS)
  .flatMap(([failpoint, list]) => list.map((one) => ({ failpoint, one })))
  .sort((a, b) => Number(a.one.quota ?? false) - Number(b.one.quota ?? false))
  .map((found) => [`${found.failpoint}${found.one.name ? ` (${found.one.name})` : ''}`, found] as const);
