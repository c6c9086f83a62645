/**
 * Runs a CI job: checks a directory out into a fresh container, runs the steps of its `ci.json` there one
 * after another, shows what they print as it comes, brings the artefacts back and says why the job failed, if
 * it did.
 *
 *     npx tsx examples/ci-runner/ci-runner.ts DIRECTORY ARTEFACTS
 *
 * Exit status: 0 when every step passed, 1 when one did not, 2 when the job could not be run.
 */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type ClientContainer, connect, type ExitVerdict, isWardenError } from '@warden/client';

interface Step {
  readonly name: string;
  /** For `/bin/bash`, in the checkout. */
  readonly run: string;
  readonly timeoutSeconds: number;
}

interface CiJob {
  readonly memoryMiB: number;
  readonly steps: readonly Step[];
  /** Paths below the checkout. */
  readonly artefacts: readonly string[];
}

/** The job file is not one. */
class BadJobFile extends Error {}

const CHECKOUT = '/home/vcap/checkout';
const DEFAULTS = { memoryMiB: 256, artefacts: [] };
const DEFAULT_TIMEOUT_SECONDS = 600;

/** Reads `ci.json`. It comes with the code to be tested, so nothing about it is taken for granted. */
async function readJob(file: string): Promise<CiJob> {
  const job: CiJob = { ...DEFAULTS, ...JSON.parse(await readFile(file, 'utf8')) };
  if (!Array.isArray(job.steps) || job.steps.length === 0) throw new BadJobFile(`${file} has no steps`);
  const steps = job.steps.map((step: Partial<Step>, at) => {
    const { name, run, timeoutSeconds = DEFAULT_TIMEOUT_SECONDS } = step;
    if (typeof name !== 'string' || typeof run !== 'string' || !(timeoutSeconds > 0))
      throw new BadJobFile(`step ${at + 1} of ${file} needs a name, a script to run, and time`);
    return { name, run, timeoutSeconds };
  });
  const isName = (name: unknown): boolean => typeof name === 'string' && !name.split('/').includes('..');
  if (!Array.isArray(job.artefacts) || !job.artefacts.every(isName))
    throw new BadJobFile(`the artefacts of ${file} have to be paths below the checkout`);
  if (!(job.memoryMiB >= 16)) throw new BadJobFile(`no step of ${file} starts with less than 16 MiB`);
  return { ...job, steps };
}

/** The reason for the end of a step that did not end with 0. */
function reasonOf(exitStatus: number, verdict: ExitVerdict | undefined): string {
  if (verdict === undefined || verdict.reason === 'exited') return `exit status ${exitStatus}`;
  switch (verdict.reason) {
    case 'signal':
      return `ended by signal ${verdict.signal}`;
    case 'out-of-memory':
      return 'needed more memory than the job may have';
    case 'disk-limit':
      return 'wrote more than the job may keep';
    case 'output-limit':
      return 'printed more than the daemon keeps of a job';
    default:
      return verdict.reason;
  }
}

/** Runs a step to its end; answers why it failed, nothing if it did not. */
async function runStep(box: ClientContainer, step: Step, signal: AbortSignal): Promise<string | undefined> {
  try {
    const job = await box.spawn(`set -o errexit -o pipefail\n${step.run}`, {
      workingDirectory: CHECKOUT,
      environment: { CI: 'true' },
      rlimits: { nofile: 512n },
      timeoutMs: step.timeoutSeconds * 1000,
      signal,
    });
    for await (const { stream, data } of job.output) process[stream].write(data);
    const { exitStatus, verdict } = await job.result();
    return exitStatus === 0 ? undefined : reasonOf(exitStatus, verdict);
  } catch (error) {
    if (isWardenError(error, 'TIMEOUT')) return `took longer than ${step.timeoutSeconds} s`;
    throw error;
  }
}

/** Copies what there is; a job that failed need not have made all of it. */
async function collect(box: ClientContainer, names: readonly string[], target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  const owner = `${process.getuid?.()}:${process.getgid?.()}`;
  for (const name of names) {
    try {
      await box.copyOut(path.posix.join(CHECKOUT, name), `${target}/`, owner);
      console.log(`artefact ${name}`);
    } catch (error) {
      if (!isWardenError(error)) throw error;
      console.log(`artefact ${name} is missing: ${error.message}`);
    }
  }
}

/** Answers whether every step passed. */
async function runJob(directory: string, artefacts: string, signal: AbortSignal): Promise<boolean> {
  const job = await readJob(path.join(directory, 'ci.json'));
  await using warden = await connect({ path: process.env.WARDEN_SOCKET ?? '/tmp/warden.sock' });
  // should this program be killed, the daemon removes the container a minute later
  await using box = await warden.create({ graceTime: 60, properties: { purpose: 'ci' } });
  await box.limitMemory(BigInt(job.memoryMiB) << 20n);
  await box.copyIn(`${path.resolve(directory)}/`, CHECKOUT);
  let failure: string | undefined;
  for (const step of job.steps) {
    console.log(`--- ${step.name}`);
    failure = await runStep(box, step, signal);
    if (failure !== undefined) {
      console.log(`--- ${step.name} failed: ${failure}`);
      break;
    }
  }
  // also from a container that the kernel has stopped for its memory
  await collect(box, job.artefacts, path.resolve(artefacts));
  return failure === undefined;
}

const [directory, artefacts] = process.argv.slice(2);
const interruption = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort(name));
try {
  if (directory === undefined || artefacts === undefined)
    throw new BadJobFile('usage: ci-runner.ts DIRECTORY ARTEFACTS');
  const hasPassed = await runJob(directory, artefacts, interruption.signal);
  console.log(hasPassed ? 'passed' : 'failed');
  process.exitCode = hasPassed ? 0 : 1;
} catch (error) {
  const { message } = error as Error;
  console.error(`ci-runner: ${isWardenError(error) ? `${error.code}: ${message}` : message}`);
  process.exitCode = 2;
}
