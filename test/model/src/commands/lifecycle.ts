/** Containers come, stop and go. */
import fs from 'node:fs';
import path from 'node:path';
import type { CreateSpec } from '@warden/interface';
import fc from 'fast-check';
import { checkPools, isFull, refused, settleLinks, within } from '../check.ts';
import { endJobs, HANDLES, type Model, type ModelBox, pickBox } from '../model.ts';
import { type Step, step } from '../step.ts';
import type { World } from '../world.ts';

const MANY = 6;
export const number: fc.Arbitrary<number> = fc.nat({ max: 999 });
export const handle: fc.Arbitrary<string> = fc.constantFrom(...HANDLES);

/** Notes a container that has just been made, as its first info tells. */
export async function adopt(model: Model, world: World, name: string): Promise<ModelBox> {
  const { hostIp = '', containerIp = '', containerPath = '' } = await within(world.box(name).info(), 'info');
  for (const other of model.boxes.values()) {
    if (other.hostIp === hostIp || other.directory === containerPath)
      throw new Error(`${name} has what ${other.handle} has: ${hostIp}, ${containerPath}`);
  }
  const box: ModelBox = {
    handle: name,
    directory: containerPath,
    hostIp,
    containerIp,
    state: 'active',
    isInitDead: false,
    jobs: new Map(),
    ports: new Map(),
    egress: 0,
    isAllowed: false,
    memory: undefined,
    cpu: undefined,
    bandwidth: undefined,
    blockHard: undefined,
    files: new Map(),
    events: new Set(),
    isStubborn: false,
  };
  model.boxes.set(name, box);
  return box;
}

/** What must come of a create. */
async function create(model: Model, world: World, spec: CreateSpec & { handle: string }): Promise<void> {
  const creating = within(world.client.create(spec), 'create');
  if (model.boxes.has(spec.handle)) return refused(creating, 'ALREADY_EXISTS');
  const isTaken = [...model.boxes.values()].some(({ hostIp }) => sameBlock(hostIp, spec.network));
  if (isFull(model) || isTaken) return refused(creating, 'POOL_EXHAUSTED');
  await creating;
  const { hostIp } = await adopt(model, world, spec.handle);
  if (spec.network !== undefined && !sameBlock(hostIp, spec.network))
    throw new Error(`wanted ${spec.network}, got ${hostIp}`);
  for (const { mode, target } of spec.bindMounts ?? []) await useBound(world, spec.handle, { mode, target });
}

function sameBlock(address: string, wanted: string | undefined): boolean {
  const block = (text: string): number => Math.floor(Number(text.split('.')[3]) / 4);
  return wanted !== undefined && block(address) === block(wanted);
}

async function useBound(
  world: World,
  name: string,
  bound: { mode: 'ro' | 'rw'; target: string },
): Promise<void> {
  const script = `read -r line <${bound.target}/hello; echo $line; echo ${name} >${bound.target}/${name}`;
  const { exitStatus, stdoutText } = await within(world.box(name).run(script), 'run');
  const file = path.join(world.shared, name);
  const isWritten = fs.existsSync(file);
  if (
    stdoutText !== 'hello\n' ||
    (exitStatus === 0) !== (bound.mode === 'rw') ||
    isWritten !== (bound.mode === 'rw')
  )
    throw new Error(
      `bind mount ${bound.mode}: status ${exitStatus}, output ${stdoutText}, written ${isWritten}`,
    );
  fs.rmSync(file, { force: true });
}

const creates = fc
  .record({
    name: handle,
    bound: fc.constantFrom('none', 'none', 'ro', 'rw'),
    root: fc.constantFrom('default', 'default', 'given', 'missing'),
    block: fc.option(fc.nat({ max: 3 }), { freq: 4, nil: undefined }),
    graceTime: fc.constantFrom(undefined, 300, 86_400),
  })
  .map(({ name, bound, root, block, graceTime }) =>
    step({
      text: `Create ${name} bound=${bound} root=${root} block=${block}`,
      async run(model, world) {
        const spec = {
          handle: name,
          ...(graceTime === undefined ? {} : { graceTime }),
          ...(bound === 'none'
            ? {}
            : { bindMounts: [{ source: world.shared, target: '/bound', mode: bound as 'ro' | 'rw' }] }),
          ...(root === 'given' ? { rootfs: world.place.rootfs } : {}),
          ...(block === undefined ? {} : { network: `10.254.0.${4 * block + 1}` }),
        };
        if (root === 'missing')
          await refused(
            world.client.create({ ...spec, rootfs: '/nowhere' }),
            'INVALID_SPEC',
            'ALREADY_EXISTS',
          );
        else await create(model, world, spec);
      },
    }),
  );

/** Of many at the same time one wins. */
const race = handle.map((name) =>
  step({
    text: `CreateRace ${name}`,
    when: (model) => !isFull(model),
    async run(model, world) {
      const clients = await Promise.all(Array.from({ length: MANY }, () => world.connect()));
      const outcomes = await Promise.allSettled(
        clients.map((client) => within(client.create({ handle: name }), 'create')),
      );
      await Promise.all(clients.map((client) => client.close()));
      const won = outcomes.filter(({ status }) => status === 'fulfilled').length;
      const codes = outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason.code)] : []));
      const expected = model.boxes.has(name) ? 0 : 1;
      if (won !== expected || codes.some((code) => code !== 'ALREADY_EXISTS'))
        throw new Error(`${won} won instead of ${expected}; the others: ${codes}`);
      if (expected === 1) await adopt(model, world, name);
    },
  }),
);

/** A graceful end of what ignores it takes ten seconds: that one is killed first. */
async function hasten(world: World, box: ModelBox): Promise<void> {
  if (box.isStubborn && box.state === 'active')
    await within(world.box(box.handle).stop({ kill: true }), 'stop');
}

/** `isLogged`: the daemon could say so. */
export async function destroyed(
  model: Model,
  world: World,
  box: ModelBox,
  { isLogged = true }: { readonly isLogged?: boolean } = {},
): Promise<void> {
  endJobs(box, 'container-stopped');
  await settleLinks(box);
  model.boxes.delete(box.handle);
  if (fs.existsSync(box.directory)) throw new Error(`${box.directory} is still there`);
  if (isLogged) await checkPools(model, world, 'container-destroyed');
}

const destroys = number.map((n) =>
  step({
    text: `Destroy ${n}`,
    when: (model) => model.boxes.size > 0,
    async run(model, world) {
      const box = pickBox(model, n)!;
      await hasten(world, box);
      await within(world.box(box.handle).destroy(), 'destroy');
      await destroyed(model, world, box);
      await refused(world.box(box.handle).info(), 'UNKNOWN_HANDLE');
    },
  }),
);

/** Destroyed by several at once, while others ask. */
const destroyRace = number.map((n) =>
  step({
    text: `DestroyRace ${n}`,
    when: (model) => model.boxes.size > 0,
    async run(model, world) {
      const box = pickBox(model, n)!;
      await hasten(world, box);
      const clients = await Promise.all(Array.from({ length: 5 }, () => world.connect()));
      const at = clients.map((client) => client.container(box.handle));
      const outcomes = await Promise.allSettled(
        [
          at[0]!.destroy(),
          at[1]!.destroy(),
          at[2]!.stop({ kill: true }),
          at[3]!.info(),
          at[4]!.limitCpu(64n),
        ].map((one) => within<unknown>(one as Promise<unknown>, 'one of many')),
      );
      await Promise.all(clients.map((client) => client.close()));
      const codes = outcomes.flatMap((one) =>
        one.status === 'rejected' ? [String(one.reason.code ?? one.reason)] : [],
      );
      if (codes.some((code) => code !== 'UNKNOWN_HANDLE' && code !== 'BAD_STATE'))
        throw new Error(`destroyed by many: ${codes}`);
      await destroyed(model, world, box);
    },
  }),
);

export function stopped(box: ModelBox): void {
  box.state = 'stopped';
  box.isStubborn = false;
  endJobs(box, 'container-stopped');
}

const stops = fc
  .record({ n: number, kill: fc.boolean(), background: fc.boolean() })
  .map(({ n, kill, background }) =>
    step({
      text: `Stop ${n} kill=${kill} background=${background}`,
      when: (model) => model.boxes.size > 0,
      async run(model, world) {
        const box = pickBox(model, n)!;
        await within(world.box(box.handle).stop({ kill: kill || box.isStubborn, background }), 'stop');
        stopped(box);
        await settleLinks(box);
      },
    }),
  );

const unknown = handle.map((name) =>
  step({
    text: `Unknown ${name}`,
    when: (model) => !model.boxes.has(name),
    async run(_, world) {
      const box = world.box(name);
      for (const asked of [
        () => box.info(),
        () => box.stop(),
        () => box.destroy(),
        () => box.run('true'),
        () => box.netIn(),
        () => box.limitMemory(),
        () => box.job(1).link(),
      ])
        await refused(within<unknown>(asked(), 'unknown handle'), 'UNKNOWN_HANDLE');
    },
  }),
);

export const LIFECYCLE: readonly fc.Arbitrary<Step>[] = [
  creates,
  creates,
  creates,
  race,
  destroys,
  destroyRace,
  stops,
  unknown,
];
