/** Lines of the probe as values, and what they are held against. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PROBE } from './image.ts';

/** What became of one case: see probe.h. */
export interface Outcome {
  readonly result: 'open' | 'refused' | 'absent' | 'killed' | 'timeout' | 'inconclusive';
  readonly detail: string;
}
/** Case to outcome, in the probe's order. */
export type Outcomes = ReadonlyMap<string, Outcome>;

/** Reads the probe's output. Throws when it is not whole: a probe that died has proved nothing. */
export function parse(output: string, whose: string): Outcomes {
  const found = new Map<string, Outcome>();
  const lines = output.trimEnd().split('\n');
  if (lines.at(-1) !== 'end - -')
    throw new Error(`the probe as ${whose} did not come to its end: ${output.slice(-2000)}`);
  for (const line of lines.slice(0, -1)) {
    const match = /^(\S+) (open|refused|absent|killed|timeout|inconclusive) (\S+)$/.exec(line);
    if (!match) throw new Error(`the probe as ${whose} printed: ${line}`);
    if (found.has(match[1]!)) throw new Error(`two cases are named ${match[1]}`);
    found.set(match[1]!, { result: match[2] as Outcome['result'], detail: match[3]! });
  }
  return found;
}

/** As in the golden tables: what was seen in an open case is no matter. */
export function word({ result, detail }: Outcome): string {
  return result === 'open' ? 'open' : `${result} ${detail}`;
}

/** Whether a destination rejects, is silent or has no way to it depends on the moment: rejections are rate-limited. */
function expected(name: string, outcome: Outcome): string {
  return /^(reach|net)\//.test(name) && outcome.result !== 'open' ? 'refused' : word(outcome);
}

interface Golden {
  /** Kernel release on which it was written, as `6.18`. */
  readonly kernel: string;
  readonly cases: Readonly<Record<string, string>>;
}

const goldenFile = (role: string): string =>
  fileURLToPath(new URL(`../golden/${role}.json`, import.meta.url));

function kernel(): string {
  return os.release().split('.').slice(0, 2).join('.');
}

/**
 * Whether a process of this host that enters the kernel by the interrupt of 32-bit programs is answered. Where
 * the host of a virtual machine does not hand it on (PVM), it is killed by SIGSEGV, in a container as outside.
 */
export function hasInterruptDoor(): boolean {
  return / open /.test(execFileSync(PROBE, ['door'], { encoding: 'latin1' }));
}

/** Cases that are about what this machine has not, and what becomes of them then, whoever tries them. */
function lacking(): readonly (readonly [cases: RegExp, is: string])[] {
  return [
    ...(fs.existsSync('/proc/mtrr') ? [] : [[/^(read|write)\/proc\/mtrr$/, 'absent ENOENT'] as const]),
    ...(hasInterruptDoor() ? [] : [[/^foreign\/i386-/, 'killed SIGSEGV'] as const]),
  ];
}

/**
 * How the outcomes of a role differ from its golden table, as lines. On the kernel of the table any
 * difference counts, but for what this machine lacks; on another one a case may be refused in another way or
 * be absent, but nothing more may be open. With WARDEN_ABUSE_WRITE_GOLDEN the table is written instead.
 */
export function drift(role: string, outcomes: Outcomes): string[] {
  const now = Object.fromEntries([...outcomes].map(([name, outcome]) => [name, expected(name, outcome)]));
  if (process.env.WARDEN_ABUSE_WRITE_GOLDEN) {
    fs.mkdirSync(path.dirname(goldenFile(role)), { recursive: true });
    fs.writeFileSync(goldenFile(role), `${JSON.stringify({ kernel: kernel(), cases: now }, null, 2)}\n`);
    return [];
  }
  const golden = JSON.parse(fs.readFileSync(goldenFile(role), 'utf8')) as Golden;
  const isSame = golden.kernel === kernel();
  const lacks = lacking();
  const found: string[] = [];
  for (const [name, is] of Object.entries(now)) {
    const known = golden.cases[name];
    const wanted =
      known === undefined ? undefined : (lacks.find(([cases]) => cases.test(name))?.[1] ?? known);
    if (wanted === is || (!isSame && is !== 'open' && wanted !== undefined)) continue;
    found.push(`${name}: ${is}, expected ${wanted ?? 'nothing: the case is not in the table'}`);
  }
  if (!process.env.WARDEN_ABUSE_SHORT)
    for (const name of Object.keys(golden.cases)) if (!outcomes.has(name)) found.push(`${name}: was not run`);
  return found;
}
