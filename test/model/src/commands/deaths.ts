/** The daemon and inits are killed, frozen, restarted. */
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import {
  checkDenied,
  checkPools,
  eventually,
  expectEnding,
  readable,
  settleLinks,
  within,
} from '../check.ts';
import { endJobs, isActive, type Model, type ModelBox, pickBox } from '../model.ts';
import { type Step, step } from '../step.ts';
import type { World } from '../world.ts';
import { destroyed, number } from './lifecycle.ts';

/** The daemon is gone, and another one has come: what it must have found. */
export async function nextDaemon(model: Model, world: World): Promise<void> {
  await world.start();
  for (const box of [...model.boxes.values()]) {
    for (const job of box.jobs.values()) job.pending = undefined;
    if (box.isInitDead) model.boxes.delete(box.handle);
  }
  await checkPools(model, world, 'recovered');
  checkDenied(world);
}

/** Links that wait have nobody to answer them any more. */
export async function cutLinks(model: Model): Promise<void> {
  for (const box of model.boxes.values()) {
    for (const job of box.jobs.values()) {
      if (job.pending === undefined || job.ending !== undefined) continue;
      const answer = await within(job.pending, 'link of a daemon that is gone');
      if (!('error' in answer))
        throw new Error(`a link was answered by a daemon that is gone: ${answer.exitStatus}`);
      job.pending = undefined;
    }
  }
}

/** Each signal with what it is: without a chance, at once, when what runs is done. */
const restarts = fc.constantFrom<NodeJS.Signals>('SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGUSR2').map((signal) =>
  step({
    text: `${signal === 'SIGKILL' ? 'KillDaemon' : 'Restart'} ${signal}`,
    async run(model, world) {
      await within(world.end(signal), `end by ${signal}`);
      await cutLinks(model);
      await nextDaemon(model, world);
    },
  }),
);

/** Everything in the container ends with its init. */
export function lostInit(box: ModelBox): void {
  box.isInitDead = true;
  box.bandwidth = undefined; // of the link, which is gone
  box.isStubborn = false;
  box.state = 'stopped';
  endJobs(box, 'init-lost');
}

const killsInit = number.map((n) =>
  step({
    text: `KillWshd ${n}`,
    when: (model) => pickBox(model, n, ({ isInitDead }) => !isInitDead) !== undefined,
    async run(model, world) {
      const box = pickBox(model, n, ({ isInitDead }) => !isInitDead)!;
      process.kill(world.initOf(box.directory), 'SIGKILL');
      lostInit(box);
      await settleLinks(box);
    },
  }),
);

/** Stopped by a signal, or with everything in the container by its control group. Answers how it goes on. */
function freeze(world: World, box: ModelBox, how: 'signal' | 'group'): () => void {
  if (how === 'signal') {
    const pid = world.initOf(box.directory);
    process.kill(pid, 'SIGSTOP');
    return () => {
      if (fs.existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGCONT');
    };
  }
  const group = `/sys/fs/cgroup/freezer/${world.place.name}/instance-${path.basename(box.directory)}/freezer.state`;
  if (!fs.existsSync(group)) return freeze(world, box, 'signal');
  fs.writeFileSync(group, 'FROZEN');
  return () => {
    if (fs.existsSync(group)) fs.writeFileSync(group, 'THAWED');
  };
}

const freezes = fc
  .record({
    n: number,
    how: fc.constantFrom<'signal' | 'group'>('signal', 'group'),
    next: fc.constantFrom('wait', 'wait', 'destroy'),
  })
  .map(({ n, how, next }) =>
    step({
      text: `Freeze ${n} ${how} ${next}`,
      when: (model) => pickBox(model, n, (box) => isActive(box) && !box.isStubborn) !== undefined,
      async run(model, world) {
        const box = pickBox(model, n, (one) => isActive(one) && !one.isStubborn)!;
        const thaw = freeze(world, box, how);
        try {
          const waiting = within(world.box(box.handle).run('exit 6'), 'run in a frozen container', 60_000);
          waiting.catch(() => {}); // met below
          await othersServed(model, world, box);
          if (next === 'destroy') {
            await within(world.box(box.handle).destroy(), 'destroy of a frozen container', 60_000);
            const answer = await waiting.then(readable, (error: { code: string }) => error);
            if (
              'exitStatus' in answer
                ? answer.exitStatus !== 255
                : !/UNAVAIL|BAD_STATE|UNKNOWN/.test(answer.code)
            )
              throw new Error(`a run in a container that was destroyed: ${JSON.stringify(answer)}`);
            return await destroyed(model, world, box);
          }
          thaw();
          expectEnding(readable(await waiting), { exitStatus: 6, reason: 'exited' });
        } finally {
          thaw();
        }
      },
    }),
  );

async function othersServed(model: Model, world: World, box: ModelBox): Promise<void> {
  await within(world.client.ping(), 'ping', 5_000);
  await within(world.box(box.handle).info(), 'info of a frozen container', 10_000);
  const other = [...model.boxes.values()].find((one) => one !== box && isActive(one) && !one.isInitDead);
  if (other === undefined) return;
  const result = await within(world.box(other.handle).run('exit 5'), 'run beside a frozen container', 10_000);
  expectEnding(readable(result), { exitStatus: 5, reason: 'exited' });
}

/** A client that made a container and left: it goes when its time is over, whichever daemon there is. */
const leaves = fc
  .record({ graceTime: fc.constantFrom(0, 1), isKilled: fc.boolean() })
  .map(({ graceTime, isKilled }) =>
    step({
      text: `Leave grace=${graceTime} killed=${isKilled}`,
      when: (model) => model.boxes.size < 4,
      async run(model, world) {
        const client = await world.connect();
        const name = `left-${model.serial++}`;
        const box = await within(client.create({ handle: name, graceTime }), 'create');
        await within(box.spawn('sleep 3600'), 'spawn');
        const { containerPath = '' } = await within(box.info(), 'info');
        await client.close();
        if (isKilled) {
          await world.end('SIGKILL');
          await cutLinks(model);
          // the client of this test must not be there before the time is over
          await world.start({ isTime: () => !fs.existsSync(containerPath) });
          for (const other of [...model.boxes.values()])
            if (other.isInitDead) model.boxes.delete(other.handle);
        }
        await eventually(async () => {
          if ((await world.client.list()).includes(name)) throw new Error(`${name} outlives its grace time`);
        });
      },
    }),
  );

export const DEATHS: readonly fc.Arbitrary<Step>[] = [restarts, restarts, killsInit, freezes, leaves];
