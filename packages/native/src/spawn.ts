import { checkDescriptor, checkPath, checkString } from './argument-checks.ts';
import { callOnThread, type NativeLibrary, native } from './load-library.ts';
import { nativeFailure } from './native-failure.ts';

const NEW_SESSION = 1;
/** `enum warden_spawn_step` in words. */
const STEPS = ['', 'clone', 'setsid', 'descriptors', 'chdir', 'execve'] as const;

/** What to start. Nothing is inherited but what is named here. */
export interface SpawnSpec {
  /** The program; no search through PATH. */
  readonly path: string;
  /** At least `argv[0]`. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd: string;
  /**
   * Which of our descriptors becomes which of the program's. Maps may overlap in any way. Of 0, 1 and 2 what
   * is not named is /dev/null; all other descriptors are closed.
   */
  readonly descriptors: readonly (readonly [from: number, to: number])[];
  /** Start as leader of a session of its own. */
  readonly newSession?: boolean;
}

/**
 * Starts a program with default signal dispositions and an empty signal mask, and answers its pid; the caller reaps it.
 * Errors: `NATIVE_FAILED` with the step (`clone`, `setsid`, `descriptors`, `chdir`, `execve`) as operation. There is no
 * process left then.
 */
export function spawnProcess(spec: SpawnSpec): number {
  const parameters = spawnParameters(spec);
  return spawnResult(spec, parameters, native().warden_spawn(...parameters));
}

/**
 * As {@link spawnProcess}, on a thread of Node's pool: the caller of vfork(2) waits until the program has
 * been executed, about a millisecond, and longer the more descriptors this process has. Those named must stay
 * open until it answers.
 */
export async function spawnProcessOnThread(spec: SpawnSpec): Promise<number> {
  const parameters = spawnParameters(spec);
  return spawnResult(spec, parameters, await callOnThread('warden_spawn', ...parameters));
}

type SpawnParameters = Parameters<NativeLibrary['warden_spawn']>;

function spawnParameters(spec: SpawnSpec): SpawnParameters {
  const path = checkPath(spec.path);
  const cwd = checkPath(spec.cwd, 'cwd');
  const argv = packStrings(checkArgv(spec.argv), 'argv[]');
  const variables = Object.entries(spec.environment).map(([name, value]) => assignment(name, value));
  const pairs = checkPairs(spec.descriptors);
  return [
    path,
    cwd,
    argv,
    spec.argv.length,
    packStrings(variables, 'environment'),
    variables.length,
    pairs,
    pairs.length / 2,
    spec.newSession === true ? NEW_SESSION : 0,
    new Int32Array(1),
  ];
}

function spawnResult(spec: SpawnSpec, parameters: SpawnParameters, pid: number): number {
  if (pid >= 0) return pid;
  const failedStep = parameters.at(-1) as Int32Array;
  const operation = STEPS[failedStep[0]!] ?? 'spawn';
  throw nativeFailure(operation, operation === 'chdir' ? spec.cwd : spec.path, pid);
}

function checkArgv(argv: unknown): readonly string[] {
  if (!Array.isArray(argv) || argv.length === 0)
    throw new TypeError('argv must be an array with at least one string');
  return argv as readonly string[];
}

function assignment(name: string, value: unknown): string {
  if (name === '' || name.includes('='))
    throw new TypeError(`environment has a variable with the bad name '${name}'`);
  if (typeof value !== 'string') throw new TypeError(`environment ${name} must be a string`);
  return `${name}=${value}`;
}

function packStrings(strings: readonly string[], name: string): Buffer {
  return Buffer.concat(strings.map((text) => checkString(text, name)));
}

function checkPairs(descriptors: SpawnSpec['descriptors']): Int32Array {
  if (!Array.isArray(descriptors)) throw new TypeError('descriptors must be an array of pairs');
  const targets = new Set<number>();
  for (const pair of descriptors) {
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new TypeError('descriptors must be an array of pairs');
    checkDescriptor(pair[0], 'descriptors[][0]');
    const target = checkDescriptor(pair[1], 'descriptors[][1]');
    if (targets.has(target)) throw new TypeError(`descriptors name the target ${target} twice`);
    targets.add(target);
  }
  return Int32Array.from(descriptors.flat());
}
