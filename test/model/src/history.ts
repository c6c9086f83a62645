/** Histories: made from a seed, run against a world of their own, told by the command that repeats them. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { checkDenied, cleanUp } from './check.ts';
import { DEATHS } from './commands/deaths.ts';
import { FULL_DISK } from './commands/full-disk.ts';
import { JOBS } from './commands/jobs.ts';
import { LEAVING } from './commands/leaving.ts';
import { adopt, LIFECYCLE } from './commands/lifecycle.ts';
import { SETTINGS } from './commands/settings.ts';
import { HANDLES, type Model, newModel, type Settings } from './model.ts';
import { type Counts, World } from './world.ts';

/** Where counts and failures are told. */
export const REPORTS: string = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  '../../../reports/model',
);

/** Which history. */
export interface Replay {
  readonly seed: number;
  /** Of the counterexample, as fast-check calls it. */
  readonly path?: string | undefined;
  /** Which commands of it were executed. */
  readonly replayPath?: string | undefined;
}

export interface HistoryOptions extends Replay {
  /** Most steps. */
  readonly steps: number;
  /** Time for finding a shorter history that fails as well. */
  readonly shrinkMs: number;
  readonly counts: Counts;
  /** Print each step. */
  readonly isLoud: boolean;
}

const settings: fc.Arbitrary<Settings> = fc.record({
  quota: fc.constantFrom(false, false, true),
  warm: fc.constantFrom(false, false, true),
  small: fc.boolean(),
});

/** Most steps need a container. */
const FIRST = HANDLES.slice(0, 2);

async function makeFirst(model: Model, world: World, name: string): Promise<void> {
  await world.client.create({ handle: name });
  await adopt(model, world, name);
}

/** Runs one history. Answers what failed, with how to repeat it. */
export async function runHistory(options: HistoryOptions): Promise<string | undefined> {
  const { seed, path: shrunk, replayPath, steps, shrinkMs, counts, isLoud } = options;
  const commands = fc.commands([...LIFECYCLE, ...JOBS, ...SETTINGS, ...DEATHS, ...LEAVING, ...FULL_DISK], {
    maxCommands: steps,
    size: 'max',
    ...(replayPath === undefined ? {} : { replayPath }),
  });
  const deadline = Date.now() + shrinkMs;
  let attempts = 0;
  let evidence = '';
  const property = fc.asyncProperty(settings, commands, async (chosen, list) => {
    attempts += 1;
    if (attempts > 1) {
      counts.shrinks = (counts.shrinks ?? 0) + 1;
      fc.pre(Date.now() < deadline);
    }
    counts.histories = (counts.histories ?? 0) + 1;
    const world = await World.make(chosen, counts).catch((error: unknown) => {
      evidence = `no daemon: ${String(error)}`;
      throw error;
    });
    try {
      const model = newModel(chosen);
      if (isLoud) process.stdout.write(`${JSON.stringify(chosen)} ${list}\n`);
      for (const name of FIRST) await makeFirst(model, world, name);
      await fc.asyncModelRun(() => ({ model, real: world }), list);
      await cleanUp(model, world);
      checkDenied(world);
    } catch (error) {
      evidence = `${(error as Error).message}\n${deepest(error)}\n${world.forensics()}`;
      throw error;
    } finally {
      await world.close();
    }
  });
  const details = await fc.check(property, {
    seed,
    numRuns: 1,
    ...(shrunk === undefined ? {} : { path: shrunk }),
    endOnFailure: shrinkMs === 0,
    verbose: 0,
  });
  if (!details.failed) return undefined;
  const found = String(details.counterexample?.[1]);
  const replay = /replayPath="([^"]*)"/.exec(found)?.[1];
  const again = [
    `--seed ${seed}`,
    `--path ${details.counterexamplePath}`,
    ...(replay === undefined ? [] : [`--replay '${replay}'`]),
    `--steps ${steps}`,
  ].join(' ');
  const summary = [
    `a history failed: ${JSON.stringify(details.counterexample?.[0])}`,
    ...found.split(',').map((line) => `  ${line}`),
    evidence.split('\nforensics of ')[0],
    `repeat it by: npm run model -- ${again}`,
  ].join('\n');
  const file = path.join(REPORTS, `failure-${seed}.txt`);
  fs.mkdirSync(REPORTS, { recursive: true });
  fs.writeFileSync(file, `${summary}\n\n${evidence}\n`);
  return `${summary}\nlog and inventory: ${file}`;
}

function deepest(error: unknown): string {
  let found = error as Error;
  while (found.cause instanceof Error) found = found.cause;
  return String(found.stack);
}
