/**
 * In the middle of a request the client leaves, or the daemon is killed: it has happened, or it has not, and
 * never half.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { ClientContainer, WardenClient } from '@warden/client';
import { isWardenError } from '@warden/interface';
import fc from 'fast-check';
import {
  eventually,
  expectEnding,
  readable,
  readRecord,
  settleLinks,
  showBandwidth,
  within,
} from '../check.ts';
import { isRunnable, type Model, type ModelBox, pickBox } from '../model.ts';
import { type Step, step } from '../step.ts';
import type { World } from '../world.ts';
import { cutLinks, nextDaemon } from './deaths.ts';
import { spawnWaiting } from './jobs.ts';
import { adopt, number, stopped } from './lifecycle.ts';

/** One kind of request that can be cut off, and how one sees what came of it. */
interface Cut {
  readonly kind: string;
  request(box: ClientContainer, world: World, model: Model): Promise<unknown>;
  /**
   * Looks at what there is, and takes it over into the model if it is one of the two possibilities. Answers
   * whether it has happened; `undefined`: nothing is left of it either way. `answer` is what the client got, if
   * it did.
   */
  settle(model: Model, world: World, box: ModelBox, answer?: unknown): Promise<boolean | undefined>;
}

const MIB = 1024n * 1024n;

/** What is there must be the one or the other: the record says which. */
const CUTS: readonly Cut[] = [
  {
    kind: 'destroy',
    request: (box) => box.destroy(),
    async settle(model, world, box) {
      if ((await world.client.list()).includes(box.handle)) return false;
      if (fs.existsSync(box.directory)) throw new Error(`${box.directory} is left of a destroyed container`);
      model.boxes.delete(box.handle);
      return true;
    },
  },
  {
    kind: 'stop',
    request: (box) => box.stop({ kill: true }),
    async settle(_model, world, box) {
      if ((await world.box(box.handle).info()).state === 'active') return false;
      stopped(box);
      await settleLinks(box);
      return true;
    },
  },
  {
    kind: 'net-in',
    request: (box) => box.netIn({ containerPort: 99 }),
    async settle(_model, _world, box, answer) {
      let isNew = false;
      for (const [hostPort, containerPort] of readRecord(box).resources.net_in) {
        if (box.ports.has(hostPort)) continue;
        if (containerPort !== 99) throw new Error(`nobody asked for port ${hostPort}:${containerPort}`);
        box.ports.set(hostPort, containerPort);
        isNew = true;
      }
      const told = answer as { readonly hostPort: number } | undefined;
      return told === undefined ? isNew : isNew && box.ports.get(told.hostPort) === 99;
    },
  },
  {
    kind: 'net-out',
    request: (box) => box.netOut({ network: '198.51.100.7', port: 9 }),
    async settle(_model, _world, box) {
      const { length } = readRecord(box).resources.net_out;
      if (length !== box.egress + 1) return false;
      box.egress += 1;
      return true;
    },
  },
  {
    kind: 'limit-memory',
    request: (box) => box.limitMemory(96n * MIB),
    async settle(_model, _world, box) {
      if (readRecord(box).resources.limit_memory !== String(96n * MIB)) return false;
      box.memory = 96n * MIB;
      return true;
    },
  },
  {
    kind: 'limit-cpu',
    request: (box) => box.limitCpu(77n),
    async settle(_model, _world, box) {
      if (readRecord(box).resources.limit_cpu !== '77') return false;
      box.cpu = 77n;
      return true;
    },
  },
  {
    kind: 'limit-bandwidth',
    request: (box) => box.limitBandwidth({ rate: 7n * MIB, burst: MIB }),
    async settle(_model, world, box) {
      if (readRecord(box).warden.bandwidth?.rate !== String(7n * MIB)) return false;
      box.bandwidth = showBandwidth(await world.box(box.handle).info());
      return true;
    },
  },
  {
    kind: 'spawn',
    request: (box) => box.spawn('echo cut; sleep 3600'),
    async settle(_model, world, box, answer) {
      const told = answer as { readonly id: number } | undefined;
      const isThere = told === undefined || (await world.box(box.handle).info()).jobIds.includes(told.id);
      await endStrangers(world, box);
      return isThere;
    },
  },
  {
    kind: 'run',
    request: (box) => box.run('echo cut; exit 0'),
    async settle(_model, world, box) {
      await endStrangers(world, box);
      return undefined;
    },
  },
  {
    kind: 'copy-in',
    request: (box, world) => box.copyIn(path.join(world.shared, 'hello'), '/tmp/cut'),
    // there whole or not at all
    async settle(_model, world, box) {
      const { stdoutText } = await within(world.box(box.handle).run('cat /tmp/cut 2>/dev/null'), 'run');
      if (stdoutText !== '' && stdoutText !== 'hello')
        throw new Error(`half a file was copied in: ${stdoutText}`);
      return stdoutText === 'hello';
    },
  },
];

/** Jobs that were started for somebody who does not know their number. */
async function endStrangers(world: World, box: ModelBox): Promise<void> {
  const strangers = async (): Promise<number[]> =>
    (await world.box(box.handle).info()).jobIds.filter((id) => !box.jobs.has(id));
  for (const id of await strangers()) {
    try {
      await within(world.box(box.handle).job(id).kill(), 'kill');
      const { exitStatus } = await within(world.box(box.handle).job(id).link(), 'link');
      if (exitStatus !== 255 && exitStatus !== 0) throw new Error(`job ${id} ended with ${exitStatus}`);
    } catch (error) {
      if (!isWardenError(error, 'UNKNOWN_JOB')) throw error;
    }
  }
  await eventually(async () => {
    const left = await strangers();
    if (left.length > 0) throw new Error(`jobs that nobody started: ${left}`);
  });
}

const cut: fc.Arbitrary<Cut> = fc.constantFrom(...CUTS);
const delay = fc.nat({ max: 40 });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What came of a request: whoever has left has an answer, or none. */
type Outcome = { readonly answer: unknown } | { readonly error: unknown };

function begin(made: Cut, client: WardenClient, world: World, model: Model, box: ModelBox): Promise<Outcome> {
  const asked = made.request(client.container(box.handle), world, model);
  return asked.then(
    (answer) => ({ answer: answer ?? 'done' }),
    (error: unknown) => ({ error }),
  );
}

/** What was answered must have happened; what was not, may have. */
async function settleCut(
  made: Cut,
  outcome: Outcome,
  model: Model,
  world: World,
  box: ModelBox,
): Promise<void> {
  const answer = 'answer' in outcome ? outcome.answer : undefined;
  const hasHappened = await made.settle(model, world, box, answer);
  if (answer === undefined || hasHappened !== false) return;
  throw new Error(`${made.kind} of ${box.handle} was answered, and nothing is there of it`);
}

const closes = fc.record({ n: number, made: cut, delay }).map(({ n, made, delay }) =>
  step({
    text: `CloseConnection ${n} ${made.kind} after ${delay} ms`,
    when: (model) => pickBox(model, n, isRunnable) !== undefined,
    async run(model, world) {
      const box = pickBox(model, n, isRunnable)!;
      const client = await world.connect();
      const asked = begin(made, client, world, model, box);
      await pause(delay);
      await client.close();
      const outcome = await within(asked, made.kind);
      await world.quiet(waitingLinks(model));
      await settleCut(made, outcome, model, world, box);
    },
  }),
);

export function waitingLinks(model: Model): number {
  return [...model.boxes.values()].flatMap(({ jobs }) => [...jobs.values()].filter((job) => job.pending))
    .length;
}

const closesCreate = fc.record({ name: fc.constantFrom('gus', 'hal'), delay }).map(({ name, delay }) =>
  step({
    text: `CloseConnection create ${name} after ${delay} ms`,
    when: (model) => model.boxes.size < 4 && !model.boxes.has(name),
    async run(model, world) {
      const client = await world.connect();
      const asked = client.create({ handle: name }).then(
        () => {},
        () => {},
      );
      await pause(delay);
      await client.close();
      await within(asked, 'create');
      await world.quiet(waitingLinks(model));
      if ((await world.client.list()).includes(name)) await adopt(model, world, name);
    },
  }),
);

/** Whoever waits for a job goes: it stays, with its result, for the next one. */
const closesWaiting = fc.record({ n: number, isStream: fc.boolean(), delay }).map(({ n, isStream, delay }) =>
  step({
    text: `CloseConnection ${n} ${isStream ? 'stream' : 'link'} after ${delay} ms`,
    when: (model) => pickBox(model, n, isRunnable) !== undefined,
    async run(model, world) {
      const box = pickBox(model, n, isRunnable)!;
      const job = await spawnWaiting(world, box, 'patient', model.serial++);
      const client = await world.connect();
      const theirs = client.container(box.handle).job(job.id);
      const asked = (isStream ? theirs.stream().next() : theirs.link()).then(
        () => {},
        () => {},
      );
      await pause(delay);
      await client.close();
      await within(asked, 'abandoned wait');
      await within(world.box(box.handle).job(job.id).kill({ signal: 10, tree: false }), 'signal');
      const result = await within(world.box(box.handle).job(job.id).link(), 'link');
      expectEnding(readable(result), job.told!);
      box.jobs.delete(job.id);
    },
  }),
);

const kills = fc.record({ n: number, made: cut, delay }).map(({ n, made, delay }) =>
  step({
    text: `KillDuring ${n} ${made.kind} after ${delay} ms`,
    when: (model) => pickBox(model, n, isRunnable) !== undefined,
    async run(model, world) {
      const box = pickBox(model, n, isRunnable)!;
      const client = await world.connect();
      const asked = begin(made, client, world, model, box);
      await pause(delay);
      await world.end('SIGKILL');
      const outcome = await within(asked, made.kind);
      if ('error' in outcome && !isWardenError(outcome.error, 'UNAVAILABLE')) throw outcome.error;
      await takeOver(model, world, box, made, outcome);
    },
  }),
);

/** The next daemon settles what the killed one had begun; the counts of its recovery are those of afterwards. */
async function takeOver(
  model: Model,
  world: World,
  box: ModelBox,
  made: Cut,
  outcome: Outcome,
): Promise<void> {
  const links = [...box.jobs.values()].filter((job) => job.pending && !job.ending);
  for (const job of links) {
    const answer = await within(job.pending!, 'link of a daemon that is gone');
    job.pending = undefined;
    // it may have been answered by the stop before the end of the daemon
    if (!('error' in answer)) box.jobs.delete(job.id);
  }
  await cutLinks(model);
  await world.start();
  if (['stop', 'destroy'].includes(made.kind))
    await eventually(() => settleCut(made, outcome, model, world, box));
  else await settleCut(made, outcome, model, world, box);
  for (const other of [...model.boxes.values()]) {
    for (const job of other.jobs.values()) job.pending = undefined;
    if (other.isInitDead) model.boxes.delete(other.handle);
  }
}

const killsCreate = fc.record({ name: fc.constantFrom('gus', 'hal'), delay }).map(({ name, delay }) =>
  step({
    text: `KillDuring create ${name} after ${delay} ms`,
    when: (model) => model.boxes.size < 4 && !model.boxes.has(name),
    async run(model, world) {
      const client = await world.connect();
      const asked = client.create({ handle: name }).then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
      await pause(delay);
      await world.end('SIGKILL');
      const outcome = await within(asked, 'create');
      if (outcome !== 'done' && outcome !== 'UNAVAILABLE') throw new Error(`create answered ${outcome}`);
      await cutLinks(model);
      await world.start();
      const isThere = (await world.client.list()).includes(name);
      if (outcome === 'done' && !isThere) throw new Error(`${name} was made, and is lost`);
      for (const other of [...model.boxes.values()]) if (other.isInitDead) model.boxes.delete(other.handle);
      if (isThere) await adopt(model, world, name);
      await nextDaemonChecks(model, world);
    },
  }),
);

async function nextDaemonChecks(model: Model, world: World): Promise<void> {
  // once more, so that the pools are those of a daemon that found everything settled
  await world.end('SIGKILL');
  await nextDaemon(model, world);
}

export const LEAVING: readonly fc.Arbitrary<Step>[] = [
  closes,
  closes,
  closesCreate,
  closesWaiting,
  kills,
  kills,
  killsCreate,
];
