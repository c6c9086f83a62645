/**
 * Named places where a test makes the daemon fail, wait or die. The grammar is in docs/failpoints.md:
 *
 *     [COUNT*]NAME=TERM[->TERM]...   separated by commas; TERM is [COUNT*](off|error|kill|delay(MS))
 *     @FILE                          the text of that file
 */
import fs from 'node:fs';
import { type Failpoints, NO_FAILPOINTS, WardenError } from '@warden/interface';

interface Term {
  /** How often it is used before the next one is. */
  left: number;
  readonly action: 'off' | 'error' | 'kill' | 'delay';
  readonly milliseconds: number;
}

/** Longer ones are a slip of the pen. */
const MAX_DELAY_MS = 600_000;

/**
 * Reads a specification. `known`: the names there are; those of other programs are known by their prefix,
 * which ends with a dot. Errors: `INVALID_SPEC` naming what is wrong.
 */
export function failpoints(specification: string | undefined, known: readonly string[]): Failpoints {
  if (specification === undefined || specification === '') return NO_FAILPOINTS;
  if (specification.startsWith('@')) return new FileFailpoints(specification.slice(1), known);
  return new ListedFailpoints(specification, known);
}

class ListedFailpoints implements Failpoints {
  readonly #terms = new Map<string, Term[]>();
  readonly #items: readonly string[];

  constructor(specification: string, known: readonly string[]) {
    this.#items = specification.split(/[,\s]+/).filter((item) => item !== '');
    for (const item of this.#items) {
      const [, count, name = '', terms = ''] = /^(?:(\d+)\*)?([^=]+)=(.+)$/.exec(item) ?? [];
      const isKnown = known.some((one) => one === name || (one.endsWith('.') && name.startsWith(one)));
      if (!isKnown) throw invalid(item, 'no failpoint has this name; --list-failpoints names them all');
      const parsed = terms.split('->').map((term) => parseTerm(item, term));
      if (count !== undefined) parsed[0]!.left = Number(count);
      this.#terms.set(name, parsed);
    }
  }

  pass(name: string): Promise<void> | undefined {
    const milliseconds = this.#act(name);
    return milliseconds === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  passSync(name: string): void {
    const milliseconds = this.#act(name);
    if (milliseconds > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
  }

  forProgram(prefix: string): string | undefined {
    const items = this.#items.filter((item) => item.replace(/^\d+\*/, '').startsWith(prefix));
    return items.length === 0 ? undefined : items.join(',');
  }

  /** Answers the milliseconds to wait. */
  #act(name: string): number {
    const term = this.#terms.get(name)?.find(({ left }) => left > 0);
    if (term === undefined) return 0;
    term.left -= 1;
    if (term.action === 'kill') {
      process.kill(process.pid, 'SIGKILL');
      // the signal is delivered at the latest on the way out of this call
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    }
    if (term.action === 'error')
      throw new WardenError('INTERNAL', `failpoint ${name}`, { fields: { operation: name } });
    return term.milliseconds;
  }
}

/** The file is looked at each time, so that a test can change its mind while the daemon runs. */
class FileFailpoints implements Failpoints {
  readonly #file: string;
  readonly #known: readonly string[];
  #text = '';
  #current: Failpoints = NO_FAILPOINTS;

  constructor(file: string, known: readonly string[]) {
    this.#file = file;
    this.#known = known;
    this.#look();
  }

  pass(name: string): Promise<void> | undefined {
    return this.#look().pass(name);
  }

  passSync(name: string): void {
    this.#look().passSync(name);
  }

  forProgram(prefix: string): string | undefined {
    return this.#look().forProgram(prefix);
  }

  #look(): Failpoints {
    const text = fs.readFileSync(this.#file, 'utf8');
    if (text === this.#text) return this.#current;
    this.#current = failpoints(text.trim(), this.#known);
    this.#text = text;
    return this.#current;
  }
}

function parseTerm(item: string, text: string): Term {
  const [, count, word = '', argument] = /^(?:(\d+)\*)?(\w+)(?:\((\d+)\))?$/.exec(text) ?? [];
  const milliseconds = Number(argument ?? 0);
  const left = count === undefined ? Number.POSITIVE_INFINITY : Number(count);
  const isDelay = word === 'delay';
  if (!(isDelay || word === 'off' || word === 'error' || word === 'kill'))
    throw invalid(item, `${text} is none of off, error, kill and delay(MS), with COUNT* before it or not`);
  if (isDelay !== (argument !== undefined) || milliseconds > MAX_DELAY_MS)
    throw invalid(item, `delay takes 0 to ${MAX_DELAY_MS} milliseconds, and nothing else takes any`);
  return { left, action: word, milliseconds };
}

function invalid(item: string, message: string): WardenError {
  return new WardenError('INVALID_SPEC', `WARDEN_FAILPOINT: ${item}: ${message}`, {
    fields: { operation: 'read failpoints', object: item },
  });
}
