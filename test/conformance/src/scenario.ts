/**
 * Runs one scenario of `scenarios/` in a process of its own, inside the network of the daemon under test, and
 * judges its lines. A scenario knows the daemon by the environment only, so that the same files can be
 * pointed at any daemon (see README.md).
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TestDaemon } from '@warden/test-harness';

const SCENARIOS = path.resolve(import.meta.dirname, '../scenarios');

/** One line of a scenario's output. */
interface Line {
  readonly check?: string;
  readonly ok?: boolean;
  readonly expected?: string;
  readonly got?: string;
  readonly error?: string;
  readonly at?: readonly string[];
  readonly note?: string;
  readonly skip?: string;
  readonly control?: string;
  readonly done?: string;
  readonly checks?: number;
}

/** What a scenario may need besides the socket. */
export interface ScenarioOptions {
  readonly daemon: TestDaemon;
  /** Further facts, as `WARDEN_…` variables. */
  readonly facts?: Readonly<Record<string, string>>;
  /** What to do to the daemon when the scenario asks for it. */
  readonly controls?: Readonly<Record<string, () => Promise<void>>>;
}

/**
 * Runs `name` of `file` and throws with every failed check. Checks nothing if the scenario skips itself: that
 * throws too.
 */
export async function runScenario(file: string, name: string, options: ScenarioOptions): Promise<void> {
  const { daemon, controls = {} } = options;
  const interpreter = file.endsWith('.py') ? 'python3' : 'ruby';
  const command = [interpreter, path.join(SCENARIOS, file), name];
  const [program, ...words] = daemon.place.network.host.enter(command);
  const child = spawn(program!, words, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      ...process.env,
      LANG: 'C.UTF-8',
      WARDEN_SOCKET: daemon.place.socket,
      WARDEN_ROOTFS: daemon.place.rootfs,
      WARDEN_SCRATCH: daemon.place.directory,
      ...options.facts,
    },
  });
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines: Line[] = [];
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as Line;
    lines.push(line);
    if (line.control !== undefined) child.stdin.write(`${await perform(controls, line.control)}\n`);
  }
  await exited;
  judge(`${file} ${name}`, lines, complaints);
}

/** The answer for the scenario: `ok`, or why not. */
async function perform(
  controls: Readonly<Record<string, () => Promise<void>>>,
  word: string,
): Promise<string> {
  const action = controls[word];
  if (action === undefined) return `nobody knows how to ${word}`;
  try {
    await action();
    return 'ok';
  } catch (error) {
    return String(error).replaceAll('\n', ' ');
  }
}

function judge(what: string, lines: readonly Line[], complaints: string): void {
  const end = lines.findLast((line) => line.done !== undefined);
  const bad = lines.filter(
    (line) => line.ok === false || line.error !== undefined || line.skip !== undefined,
  );
  const isWhole = end !== undefined && (end.checks ?? 0) > 0;
  if (bad.length === 0 && isWhole) return;
  const notes = lines.filter((line) => line.note !== undefined);
  const told = [...bad, ...notes].map((line) => `  ${JSON.stringify(line)}`);
  throw new Error(
    [`${what}: ${isWhole ? '' : 'it did not come to its end or checked nothing; '}${bad.length} problems`]
      .concat(told, complaints === '' ? [] : [complaints])
      .join('\n'),
  );
}
