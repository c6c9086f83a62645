/** Jobs are run, spawned, told to end, killed, linked and streamed. */
import fc from 'fast-check';
import { beginLink, eventually, expectEnding, readable, refused, settleLinks, within } from '../check.ts';
import { type JobKind, ownEnd, type WaitingKind, waiting } from '../jobs.ts';
import {
  type Ending,
  isActive,
  type Model,
  type ModelBox,
  type ModelJob,
  pickBox,
  pickJob,
} from '../model.ts';
import { type Step, step } from '../step.ts';
import type { World } from '../world.ts';
import { number } from './lifecycle.ts';

const SIGUSR1 = 10;
const OUTPUT_EVENT = 'command exceeded maximum output';
const kind: fc.Arbitrary<JobKind> = fc.constantFrom('exits', 'exits', 'signalled', 'prints', 'floods');
const waitingKind: fc.Arbitrary<WaitingKind> = fc.constantFrom('patient', 'patient', 'withChild', 'stubborn');
const hasBox = (model: Readonly<Model>): boolean => model.boxes.size > 0;

/** What jobs that cannot be started are told. */
export const refusalOf = (box: ModelBox): string => (box.state === 'stopped' ? 'BAD_STATE' : 'UNAVAILABLE');

const runs = fc.record({ n: number, kind, privileged: fc.boolean() }).map((options) =>
  step({
    text: `Run ${options.n} ${options.kind}`,
    when: hasBox,
    async run(model, world) {
      const box = pickBox(model, options.n)!;
      const { script, ending } = ownEnd(options.kind, model.serial++);
      const running = within(world.box(box.handle).run(script, { privileged: options.privileged }), 'run');
      if (!isActive(box)) return refused(running, refusalOf(box));
      const result = await running;
      if (options.kind === 'floods') box.events.add(OUTPUT_EVENT);
      expectEnding(readable(result), ending);
    },
  }),
);

const users = number.map((n) =>
  step({
    text: `RunAs ${n}`,
    when: (model) => pickBox(model, n, isActive) !== undefined,
    async run(model, world) {
      const box = world.box(pickBox(model, n, isActive)!.handle);
      const root = await within(box.run('echo $EUID', { privileged: true }), 'run');
      const user = await within(box.run('echo $EUID'), 'run');
      if (root.stdoutText !== '0\n' || user.stdoutText === '0\n')
        throw new Error(`root is ${root.stdoutText}, the user is ${user.stdoutText}`);
    },
  }),
);

/** Ends by itself, and is awaited without a link. */
const spawnsEnding = fc.record({ n: number, kind }).map((options) =>
  step({
    text: `Spawn ${options.n} ${options.kind}`,
    when: hasBox,
    async run(model, world) {
      const box = pickBox(model, options.n)!;
      const { script, ending } = ownEnd(options.kind, model.serial++);
      const spawning = within(world.box(box.handle).spawn(script), 'spawn');
      if (!isActive(box)) return refused(spawning, refusalOf(box));
      const { id } = await spawning;
      noteJob(box, { id, ending, pending: undefined });
      if (options.kind === 'floods') box.events.add(OUTPUT_EVENT);
      await eventually(async () => {
        if ((await world.box(box.handle).info()).jobIds.includes(id))
          throw new Error(`job ${id} does not end`);
      });
    },
  }),
);

export function noteJob(box: ModelBox, job: ModelJob): void {
  if (box.jobs.has(job.id)) throw new Error(`two jobs have the number ${job.id}`);
  box.jobs.set(job.id, job);
}

/** Waits to be told; what it says first has been seen. */
export async function spawnWaiting(
  world: World,
  box: ModelBox,
  kind: WaitingKind,
  serial: number,
): Promise<ModelJob> {
  const { script, told } = waiting(kind, serial);
  const { id } = await within(world.box(box.handle).spawn(script), 'spawn');
  const job: ModelJob = { id, told, ending: undefined, pending: undefined };
  noteJob(box, job);
  if (kind === 'stubborn') box.isStubborn = true;
  await readUntilReady(world, box, job);
  return job;
}

async function readUntilReady(world: World, box: ModelBox, job: ModelJob): Promise<void> {
  let text = '';
  const reading = (async () => {
    for await (const { data } of world.box(box.handle).job(job.id).output) {
      text += Buffer.from(data).toString();
      if (text.includes('\n')) break;
    }
  })();
  await within(reading, `first line of job ${job.id}`);
  if (!job.told!.stdout!.startsWith(text)) throw new Error(`job ${job.id} said ${text}`);
}

const spawnsWaiting = fc.record({ n: number, kind: waitingKind }).map((options) =>
  step({
    text: `Spawn ${options.n} ${options.kind}`,
    when: (model) => pickBox(model, options.n, isActive) !== undefined,
    async run(model, world) {
      await spawnWaiting(world, pickBox(model, options.n, isActive)!, options.kind, model.serial++);
    },
  }),
);

const isRunning = (job: ModelJob): boolean => job.ending === undefined;

/** The job is over, for whatever reason, and the daemon knows it. */
async function awaitEnd(world: World, box: ModelBox, job: ModelJob, ending: Ending): Promise<void> {
  job.ending = ending;
  await eventually(async () => {
    if ((await world.box(box.handle).info()).jobIds.includes(job.id))
      throw new Error(`job ${job.id} does not end`);
  });
  await settleLinks(box);
}

const tells = number.map((n) =>
  step({
    text: `Tell ${n}`,
    when: (model) => pickJob(model, n, isRunning) !== undefined,
    async run(model, world) {
      const { box, job } = pickJob(model, n, isRunning)!;
      await within(world.box(box.handle).job(job.id).kill({ signal: SIGUSR1, tree: false }), 'signal');
      await awaitEnd(world, box, job, job.told!);
    },
  }),
);

const kills = number.map((n) =>
  step({
    text: `KillJob ${n}`,
    when: (model) => pickJob(model, n, isRunning) !== undefined,
    async run(model, world) {
      const { box, job } = pickJob(model, n, isRunning)!;
      await within(world.box(box.handle).job(job.id).kill(), 'kill');
      await awaitEnd(world, box, job, { exitStatus: 255, reason: 'signal', signal: 9 });
    },
  }),
);

const links = number.map((n) =>
  step({
    text: `Link ${n}`,
    when: (model) => pickJob(model, n, ({ pending }) => !pending) !== undefined,
    async run(model, world) {
      const { box, job } = pickJob(model, n, ({ pending }) => !pending)!;
      if (job.ending === undefined) return beginLink(world, box, job);
      const link = world.box(box.handle).job(job.id);
      expectEnding(readable(await within(link.link(), 'link')), job.ending);
      box.jobs.delete(job.id);
      await refused(within(link.link(), 'second link'), 'UNKNOWN_JOB');
    },
  }),
);

const streams = number.map((n) =>
  step({
    text: `Stream ${n}`,
    when: (model) => pickJob(model, n, ({ pending }) => !pending) !== undefined,
    async run(model, world) {
      const { box, job } = pickJob(model, n, ({ pending }) => !pending)!;
      if (job.ending === undefined) return readUntilReady(world, box, job);
      const parts = { stdout: '', stderr: '' };
      const chunks = world.box(box.handle).job(job.id).stream();
      for (;;) {
        const next = await within(chunks.next(), 'stream');
        if (next.done) {
          expectEnding(
            { exitStatus: next.value.exitStatus, verdict: next.value.verdict, ...parts },
            job.ending,
          );
          break;
        }
        parts[next.value.stream] += Buffer.from(next.value.data).toString();
      }
      box.jobs.delete(job.id);
    },
  }),
);

const unknown = number.map((n) =>
  step({
    text: `UnknownJob ${n}`,
    when: hasBox,
    async run(model, world) {
      const box = world.box(pickBox(model, n)!.handle);
      await refused(within(box.job(4_000_000_000 + n).link(), 'link'), 'UNKNOWN_JOB');
      await refused(within(box.job(4_000_000_000 + n).kill(), 'kill'), 'UNKNOWN_JOB');
    },
  }),
);

export const JOBS: readonly fc.Arbitrary<Step>[] = [
  runs,
  runs,
  users,
  spawnsEnding,
  spawnsEnding,
  spawnsWaiting,
  spawnsWaiting,
  tells,
  kills,
  links,
  links,
  streams,
  unknown,
];
