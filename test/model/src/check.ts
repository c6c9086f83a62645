/** Answers held against the model, and what must be true after every step. */
import fs from 'node:fs';
import path from 'node:path';
import { type ContainerInfo, type ExitVerdict, isWardenError } from '@warden/interface';
import { patience } from '@warden/test-harness';
import { expect } from 'vitest';
import {
  type Answer,
  CAPACITY,
  type Ending,
  type Model,
  type ModelBox,
  type ModelJob,
  takenPorts,
} from './model.ts';
import { DENIED_PORT, type World } from './world.ts';

/** Tries until it holds: what a daemon does behind an answer takes its time, on a busy machine more. */
export async function eventually(body: () => Promise<void> | void, ms = 20_000): Promise<void> {
  const deadline = Date.now() + patience(ms);
  for (;;) {
    try {
      return await body();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
  }
}

/** The operation fails with one of these codes. */
export async function refused(operation: Promise<unknown>, ...codes: string[]): Promise<void> {
  const outcome = await operation.then(
    () => 'success',
    (error: unknown) => (isWardenError(error) ? error.code : String(error)),
  );
  expect(codes, 'code of the refusal').toContain(outcome);
}

/** A result as it can be compared. */
export function readable(result: {
  readonly exitStatus: number;
  readonly verdict?: ExitVerdict | undefined;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}): Exclude<Answer, { error: unknown }> {
  const { exitStatus, verdict, stdout, stderr } = result;
  return {
    exitStatus,
    verdict,
    stdout: Buffer.from(stdout).toString(),
    stderr: Buffer.from(stderr).toString(),
  };
}

/** A job's result is what it must be. */
export function expectEnding(answer: Answer, ending: Ending): void {
  if ('error' in answer)
    throw new Error(`a link that should have had its result failed: ${String(answer.error)}`);
  const { exitStatus, reason, signal, stdout, stderr } = ending;
  const found = { exitStatus: answer.exitStatus, verdict: answer.verdict };
  const verdict = { reason, ...(signal === undefined ? {} : { signal }) };
  expect(found, 'the end of a job').toMatchObject({ exitStatus, verdict });
  if (stdout !== undefined) expect(shown(answer.stdout), 'output of a job').toBe(shown(stdout));
  if (stderr !== undefined) expect(shown(answer.stderr), 'error output of a job').toBe(shown(stderr));
}

/** Long texts by their length and ends: a difference must be readable. */
function shown(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 50)}…${text.slice(-50)} (${text.length})`;
}

/** Links that waited for jobs that have ended now have their results, and so the jobs are gone. */
export async function settleLinks(box: ModelBox): Promise<void> {
  for (const job of [...box.jobs.values()]) {
    if (job.ending === undefined || job.pending === undefined) continue;
    expectEnding(await within(job.pending, `link of job ${job.id}`), job.ending);
    box.jobs.delete(job.id);
  }
}

/** Bounded: nothing that is asked may hang. */
export async function within<T>(promise: Promise<T>, what: string, ms = 30_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not end within ${ms} ms`)), patience(ms));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Starts a link that is looked at when the job has ended. */
export function beginLink(world: World, box: ModelBox, job: ModelJob): void {
  job.pending = world
    .box(box.handle)
    .job(job.id)
    .link()
    .then(readable, (error: unknown) => ({ error }));
}

/** What must hold after every step. */
export async function checkAll(model: Model, world: World): Promise<void> {
  world.count('checks');
  await within(world.client.ping(), 'ping');
  expect(await within(world.client.list(), 'list'), 'list').toEqual([...model.boxes.keys()]);
  for (const box of model.boxes.values()) {
    await eventually(async () => {
      checkInfo(box, await within(world.box(box.handle).info(), `info of ${box.handle}`));
      checkRecord(box);
    });
  }
  if (model.settings.warm) return;
  await eventually(() => {
    expect(world.directories().length, 'directories in the depot').toBe(model.boxes.size);
    // a link goes with the namespace, and that with init
    const living = [...model.boxes.values()].filter(({ isInitDead }) => !isInitDead);
    expect(world.links(), 'links').toBe(living.length);
  });
}

function checkInfo(box: ModelBox, info: ContainerInfo): void {
  const running = [...box.jobs.values()].filter(({ ending }) => ending === undefined).map(({ id }) => id);
  const { handle, state, hostIp, containerIp, directory } = box;
  const { memoryStat, bandwidthStat, events } = info;
  expect(
    {
      handle,
      state: info.state,
      hostIp: info.hostIp,
      containerIp: info.containerIp,
      directory: info.containerPath,
      jobs: [...info.jobIds].sort((a, b) => a - b),
      events: [...events].sort(),
    },
    'info',
  ).toEqual({
    handle,
    state,
    hostIp,
    containerIp,
    directory,
    jobs: running.sort((a, b) => a - b),
    events: [...box.events].sort(),
  });
  if (box.memory !== undefined && memoryStat?.hierarchical_memory_limit !== undefined)
    expect(memoryStat.hierarchical_memory_limit, `memory limit of ${handle}`).toBe(box.memory);
  if (box.bandwidth !== undefined) expect(showBandwidth(info), `bandwidth of ${handle}`).toBe(box.bandwidth);
  expect(bandwidthStat, `bandwidth of ${handle}`).toBeDefined();
}

export function showBandwidth({ bandwidthStat }: ContainerInfo): string {
  const { inRate, inBurst, outRate, outBurst } = bandwidthStat!;
  return [inRate, inBurst, outRate, outBurst].join(' ');
}

/** What is on disk for the next daemon. */
export interface StoredRecord {
  readonly state: string;
  readonly resources: {
    readonly ports: readonly number[];
    readonly net_in: readonly (readonly [number, number])[];
    readonly net_out: readonly unknown[];
    readonly limit_memory?: string;
    readonly limit_cpu?: string;
  };
  readonly warden: { readonly bandwidth?: { readonly rate: string; readonly burst: string } };
}

export function readRecord(box: Pick<ModelBox, 'directory'>): StoredRecord {
  return JSON.parse(fs.readFileSync(path.join(box.directory, 'snapshot.json'), 'utf8'));
}

function checkRecord(box: ModelBox): void {
  const { state, resources } = readRecord(box);
  expect(
    {
      state,
      ports: Object.fromEntries(resources.net_in),
      egress: resources.net_out.length,
      memory: resources.limit_memory,
      cpu: resources.limit_cpu,
    },
    `record of ${box.handle}`,
  ).toEqual({
    state: box.state,
    ports: Object.fromEntries(box.ports),
    egress: box.egress,
    memory: box.memory?.toString(),
    cpu: box.cpu?.toString(),
  });
}

/** The pools as the daemon told last, right after a start or a destruction. */
export async function checkPools(
  model: Model,
  world: World,
  message: 'recovered' | 'container-destroyed',
): Promise<void> {
  if (model.settings.warm) return;
  await eventually(() => {
    const told = world.logged(message).at(-1);
    const pooled = [...takenPorts(model).keys()].filter((port) => port >= 61_001 && port < 62_001).length;
    expect(
      { networks: told?.networks, uids: told?.uids, ports: told?.ports },
      `pools as of ${message}`,
    ).toEqual({ networks: model.boxes.size, uids: model.boxes.size, ports: pooled });
  });
}

export function isFull(model: Readonly<Model>): boolean {
  return model.boxes.size >= CAPACITY;
}

/** Nothing that no rule allows has come out. */
export function checkDenied(world: World): void {
  expect(world.seen(DENIED_PORT), 'denied packets that came out').toBe(0);
}

/** Everything is destroyed, and nothing is left. */
export async function cleanUp(model: Model, world: World): Promise<void> {
  for (const box of [...model.boxes.values()]) {
    const at = world.box(box.handle);
    if (box.isStubborn) await within(at.stop({ kill: true }), 'stop');
    await within(at.destroy(), 'destroy');
    for (const job of box.jobs.values()) job.ending ??= { exitStatus: 255, reason: 'container-stopped' };
    await settleLinks(box);
    model.boxes.delete(box.handle);
  }
  await checkAll(model, world);
  await world.expectClean();
}
