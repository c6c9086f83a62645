/**
 * The depot's file system is full: what has to be written down is refused, everything else goes on, and
 * nothing is lost.
 */
import type { ClientContainer } from '@warden/client';
import { isWardenError } from '@warden/interface';
import fc from 'fast-check';
import { expectEnding, readable, settleLinks, within } from '../check.ts';
import { ownEnd } from '../jobs.ts';
import { isRunnable, type Model, type ModelBox, pickBox } from '../model.ts';
import { type Step, step } from '../step.ts';
import type { World } from '../world.ts';
import { cutLinks, nextDaemon } from './deaths.ts';
import { destroyed, number, stopped } from './lifecycle.ts';

/** What must be written down before it happens. */
const RECORDED: Readonly<
  Record<string, (box: ClientContainer, world: World, model: Model) => Promise<unknown>>
> = {
  create: (_, world, model) => world.client.create({ handle: `full-${model.serial++}` }),
  'net-in': (box) => box.netIn(),
  'net-out': (box) => box.netOut({ network: '198.51.100.9' }),
  'limit-memory': (box) => box.limitMemory(1n << 27n),
  'limit-cpu': (box) => box.limitCpu(99n),
  'limit-bandwidth': (box) => box.limitBandwidth({ rate: 1n << 20n, burst: 1n << 20n }),
};

/** The refusal says that there is no room. */
async function noRoom(operation: Promise<unknown>, isAllowed = false): Promise<void> {
  try {
    await operation;
  } catch (error) {
    if (
      isWardenError(error) &&
      /ENOSPC|[Nn]o space left/.test(`${error.message} ${JSON.stringify(error.fields)}`)
    )
      return;
    throw error;
  }
  if (!isAllowed) throw new Error('it succeeded on a full disk');
}

/** What the model does not know of goes, now that there is room. */
async function dropUnlisted(model: Model, world: World, free: () => void): Promise<void> {
  free();
  for (const handle of await world.client.list())
    if (!model.boxes.has(handle)) await within(world.client.container(handle).destroy(), 'destroy');
}

const kinds = [...Object.keys(RECORDED), 'run', 'spawn', 'stop', 'destroy', 'restart'];

const fills = fc.record({ n: number, kind: fc.constantFrom(...kinds) }).map(({ n, kind }) =>
  step({
    text: `FillDepot ${n} ${kind}`,
    when: (model) => model.settings.small && pickBox(model, n, isRunnable) !== undefined,
    async run(model, world) {
      const box = pickBox(model, n, isRunnable)!;
      const free = world.fillDepot();
      try {
        await whileFull(model, world, box, { kind, free });
      } finally {
        free();
      }
    },
  }),
);

async function whileFull(
  model: Model,
  world: World,
  box: ModelBox,
  { kind, free }: { kind: string; free: () => void },
): Promise<void> {
  const at = world.box(box.handle);
  const recorded = RECORDED[kind];
  if (recorded) {
    // a full pool is told before anything is written
    const operation = within(recorded(at, world, model), kind);
    if (kind === 'create' && model.boxes.size >= 4) return void (await operation.catch(() => {}));
    // a prepared container is claimed by one write in the place of its intent, for which there is room
    const isClaim = kind === 'create' && model.settings.warm;
    await noRoom(operation, isClaim);
    if (isClaim) await dropUnlisted(model, world, free);
    return;
  }
  const { script, ending } = ownEnd('exits', model.serial++);
  if (kind === 'run') expectEnding(readable(await within(at.run(script), 'run')), ending);
  if (kind === 'spawn') {
    const job = await within(at.spawn(script), 'spawn');
    expectEnding(readable(await within(job.link(), 'link')), ending);
  }
  if (kind === 'stop') {
    await noRoom(within(at.stop({ kill: true }), 'stop'), true);
    stopped(box);
    free();
    await within(at.stop(), 'stop'); // what was not written is written now
    await settleLinks(box);
  }
  if (kind === 'destroy') {
    await within(at.destroy(), 'destroy');
    free();
    await destroyed(model, world, box, { isLogged: false });
  }
  if (kind === 'restart') await restartFull(model, world, free);
}

/** A daemon may say that it cannot start without room; the next one, with room, has everything. */
async function restartFull(model: Model, world: World, free: () => void): Promise<void> {
  await world.end('SIGKILL');
  await cutLinks(model);
  try {
    await world.start();
    await world.end('SIGKILL');
  } catch (error) {
    if (!/ENOSPC|[Nn]o space left/.test((error as Error).message)) throw error;
  }
  free();
  await nextDaemon(model, world);
}

export const FULL_DISK: readonly fc.Arbitrary<Step>[] = [fills, fills];
