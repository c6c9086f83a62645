/**
 * Keeps plugins alive and talks to them: each file of the directory is a program that answers each line of input
 * with one. One that dies, hangs or takes too much is started anew in a fresh container; its question fails.
 *
 *     npx tsx examples/plugin-host/plugin-host.ts examples/plugin-host/plugins
 *     upper hello
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import readline from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientJob, connect, type OutputChunk, type WardenClient } from '@warden/client';

const MEMORY_BYTES = 32n << 20n;
const ANSWER_WITHIN_MS = Number(process.env.PLUGIN_ANSWER_WITHIN_MS ?? 5_000);
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const GOOD_LIFE_MS = 10_000; // after one of this length the next pause is short again
const LABELS = { purpose: 'plugin' };

interface Question {
  resolve(answer: string): void;
  reject(error: Error): void;
}

/** Whole lines of both streams; what a plugin prints last without a line end is none. */
async function* linesOf(output: AsyncIterable<OutputChunk>): AsyncGenerator<[OutputChunk['stream'], string]> {
  const rest = { stdout: '', stderr: '' };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  for await (const { stream, data } of output) {
    const lines = (rest[stream] + decoders[stream].decode(data, { stream: true })).split('\n');
    rest[stream] = lines.pop() ?? '';
    for (const line of lines) yield [stream, line];
  }
}

/** One plugin over all of its lives. */
class Plugin implements AsyncDisposable {
  readonly name: string;
  readonly #warden: WardenClient;
  readonly #file: string;
  readonly #over = new AbortController();
  readonly #lives: Promise<void>;
  /** Of the present life, or of the next one. */
  #job: Promise<ClientJob>;
  #question: Question | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(warden: WardenClient, file: string) {
    this.#warden = warden;
    this.#file = path.resolve(file);
    this.name = path.basename(file);
    this.#job = this.#start();
    this.#lives = this.#live();
  }

  /** Questions are asked one after another. Rejects when the plugin ends before it has answered. */
  ask(text: string): Promise<string> {
    const answer = this.#turn.then(() => this.#exchange(text));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#lives;
  }

  async #exchange(text: string): Promise<string> {
    const job = await this.#job;
    const end = (): Promise<void> => job.kill({ reason: 'timeout' }).catch(() => undefined);
    const overdue = setTimeout(end, ANSWER_WITHIN_MS);
    try {
      return await new Promise((resolve, reject) => {
        this.#question = { resolve, reject };
        job.write(`${text}\n`).catch(reject);
      });
    } finally {
      clearTimeout(overdue);
      this.#question = undefined;
    }
  }

  async #start(pauseMs = 0): Promise<ClientJob> {
    const { signal } = this.#over;
    await delay(pauseMs, undefined, { signal });
    const program = `/plugins/${this.name}`;
    const mount = { source: this.#file, target: program, mode: 'ro' } as const;
    const box = await this.#warden.create({ bindMounts: [mount], graceTime: 10, properties: LABELS });
    try {
      await box.limitMemory(MEMORY_BYTES);
      return await box.spawn('', { argv: [program], stdin: 'pipe', rlimits: { nproc: 32n }, signal });
    } catch (error) {
      await box.destroy();
      throw error;
    }
  }

  /** From the start of a job to its end, of which it answers the reason. */
  async #attend(job: ClientJob): Promise<string> {
    await using _container = this.#warden.container(job.handle);
    for await (const [stream, line] of linesOf(job.output)) {
      if (stream === 'stdout') this.#question?.resolve(line);
      else console.error(`${this.name}: ${line}`);
    }
    const { exitStatus, verdict } = await job.result();
    return verdict?.reason === 'exited' ? `exit status ${exitStatus}` : (verdict?.reason ?? 'unknown');
  }

  async #live(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const born = performance.now();
      // whatever ended a life, be it the daemon's own end, the answer to it is the next one
      const reason = await this.#job.then((job) => this.#attend(job)).catch(({ message }: Error) => message);
      if (this.#over.signal.aborted) return;
      console.log(`${this.name} ended (${reason}) and is started again`);
      if (performance.now() - born > GOOD_LIFE_MS) pauseMs = FIRST_PAUSE_MS;
      this.#job = this.#start(pauseMs);
      this.#question?.reject(new Error(`${this.name} ended: ${reason}`));
    }
  }
}

/** What the daemon tells of the plugins' containers, whoever caused it. */
async function report(warden: WardenClient): Promise<void> {
  for await (const event of await warden.events({ properties: LABELS, types: ['exit', 'oom'] }))
    console.log(`event ${event.type}${event.type === 'exit' ? ` of job ${event.jobId}` : ''}`);
}

async function main(directory: string | undefined): Promise<void> {
  if (directory === undefined) throw new Error('usage: plugin-host.ts DIRECTORY');
  const names = await readdir(directory);
  await using warden = await connect({ path: process.env.WARDEN_SOCKET ?? '/tmp/warden.sock' });
  report(warden).catch(() => undefined); // for the eye alone; ends with the session
  const plugins = new Map(names.map((name) => [name, new Plugin(warden, path.join(directory, name))]));
  try {
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const [, name = '', text = ''] = /^(\S*)\s?(.*)$/.exec(line)!;
      const answer = plugins.get(name)?.ask(text) ?? Promise.reject(new Error(`there is no plugin ${name}`));
      console.log(await answer.catch(({ message }: Error) => `failed: ${message}`));
    }
  } finally {
    await Promise.all([...plugins.values()].map((plugin) => plugin[Symbol.asyncDispose]()));
  }
}

await main(process.argv[2]).catch(({ message }: Error) => {
  console.error(`plugin-host: ${message}`);
  process.exitCode = 1;
});
