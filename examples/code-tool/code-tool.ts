/**
 * Runs code for an agent: one request per line of input, one answer per line of output, both JSON. Each snippet
 * has a container of its own, made before: no network, bounded memory, time, processes, output; then it goes.
 *
 *     npx tsx examples/code-tool/code-tool.ts
 *     {"id": 1, "language": "bash", "code": "wc -w < essay.txt", "files": {"essay.txt": "to be or not"}, "collect": []}
 */
import readline from 'node:readline';
import {
  type ClientContainer,
  connect,
  isWardenError,
  type RunOptions,
  type WardenClient,
} from '@warden/client';

/** What runs a snippet that comes as standard input; the root file system has to hold it. */
const LANGUAGES: ReadonlyMap<string, readonly string[]> = new Map([
  ['bash', ['bash']],
  ['python', ['python3', '-']],
]);
const AT_A_TIME = 2;
const HOME = '/home/vcap';
const MEMORY_BYTES = 64n << 20n;
const OUTPUT_BYTES = 16_384;
const FILE_BYTES = 65_536;
const LONGEST_MS = 10_000;

interface Request {
  readonly id?: unknown;
  readonly language?: string;
  readonly code?: string;
  /** Contents by name, for the snippet's working directory. */
  readonly files?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Names of files to answer. */
  readonly collect?: readonly string[];
}

/** Containers that are ready before anybody asks. Each is given away once, and the next one is begun at that moment. */
class WarmContainers implements AsyncDisposable {
  readonly #warden: WardenClient;
  readonly #ready: Promise<ClientContainer>[];

  constructor(warden: WardenClient, count: number) {
    this.#warden = warden;
    this.#ready = Array.from({ length: count }, () => this.#prepare());
  }

  take(): Promise<ClientContainer> {
    this.#ready.push(this.#prepare());
    return this.#ready.shift()!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#ready.map(async (container) => (await container).destroy()));
  }

  #prepare(): Promise<ClientContainer> {
    const container = this.#make();
    container.catch(() => undefined); // whoever takes it gets to know
    return container;
  }

  async #make(): Promise<ClientContainer> {
    // the grace time removes them when this program is killed
    const box = await this.#warden.create({ graceTime: 30, properties: { purpose: 'code-tool' } });
    try {
      await box.limitMemory(MEMORY_BYTES);
      return box;
    } catch (error) {
      await box.destroy();
      throw error;
    }
  }
}

/** Everything that a snippet prints, up to a bound; beyond it the snippet is ended. */
async function runSnippet(box: ClientContainer, code: string, options: RunOptions): Promise<object> {
  const limits = { nproc: 64n, nofile: 256n, fsize: 16n << 20n };
  const output = { stdout: '', stderr: '' };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  let left = OUTPUT_BYTES;
  try {
    const job = await box.spawn(code, { ...options, rlimits: limits });
    for await (const { stream, data } of job.output) {
      output[stream] += decoders[stream].decode(data.subarray(0, Math.max(0, left)), { stream: true });
      if (left >= 0 && data.length > left) await job.kill();
      left -= data.length;
    }
    const { exitStatus, verdict } = await job.result();
    return { verdict: left < 0 ? 'output-limit' : (verdict?.reason ?? 'unknown'), exitStatus, ...output };
  } catch (error) {
    if (!isWardenError(error, 'TIMEOUT')) throw error;
    return { verdict: 'timeout', ...output };
  }
}

/** A file as the snippet left it, or why there is none. */
async function collectFile(box: ClientContainer, name: string): Promise<object> {
  try {
    return { content: await box.files.readText(`${HOME}/${name}`, { maxBytes: FILE_BYTES }) };
  } catch (error) {
    if (!isWardenError(error)) throw error;
    return { error: error.message };
  }
}

async function execute(containers: WarmContainers, request: Request): Promise<object> {
  const { language = 'bash', code, files = {}, collect = [], timeoutMs = LONGEST_MS } = request;
  const argv = LANGUAGES.get(language);
  if (argv === undefined) throw new TypeError(`language is one of ${[...LANGUAGES.keys()].join(', ')}`);
  if (typeof code !== 'string') throw new TypeError('code has to be a text');
  await using box = await containers.take();
  // names lead nowhere but into the container, whatever they are
  for (const [name, content] of Object.entries(files)) await box.files.write(`${HOME}/${name}`, content);
  const result = await runSnippet(box, code, { argv, timeoutMs: Math.min(timeoutMs, LONGEST_MS) });
  const collected = await Promise.all(collect.map(async (name) => [name, await collectFile(box, name)]));
  return { ...result, files: Object.fromEntries(collected) };
}

/** An agent makes mistakes: what is wrong with a line, be it no JSON or of another type, is told in its answer. */
async function answer(containers: WarmContainers, line: string): Promise<object> {
  let id: unknown = null;
  try {
    const request = JSON.parse(line) as Request;
    id = request.id ?? null;
    return { id, ...(await execute(containers, request)) };
  } catch (error) {
    if (!(isWardenError(error) || error instanceof SyntaxError || error instanceof TypeError)) throw error;
    return { id, error: error.message };
  }
}

async function main(): Promise<void> {
  await using warden = await connect({ path: process.env.WARDEN_SOCKET ?? '/tmp/warden.sock' });
  await using containers = new WarmContainers(warden, AT_A_TIME);
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  // several take from the same lines: an answer may overtake one to an earlier request
  const work = async (): Promise<void> => {
    for (let step = await lines.next(); !step.done; step = await lines.next())
      console.log(JSON.stringify(await answer(containers, step.value)));
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
}

await main().catch(({ message }: Error) => {
  console.error(`code-tool: ${message}`);
  process.exitCode = 1;
});
