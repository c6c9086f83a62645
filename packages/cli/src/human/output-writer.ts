import { type Terminal, write } from '../terminal.ts';
import { ShownStream } from './shown.ts';

type StreamName = 'stdout' | 'stderr';

/**
 * Output of jobs and containers on its way to this program's: byte for byte; only a terminal, which would obey
 * it, gets it with its orders made visible.
 */
export class OutputWriter {
  readonly #terminal: Terminal;
  readonly #filters: Readonly<Record<StreamName, ShownStream | undefined>>;

  /** `isRaw`: a terminal is to obey. */
  constructor(terminal: Terminal, isRaw = false) {
    const filter = (name: StreamName): ShownStream | undefined =>
      terminal[name].isTTY && !isRaw ? new ShownStream() : undefined;
    this.#terminal = terminal;
    this.#filters = { stdout: filter('stdout'), stderr: filter('stderr') };
  }

  /** Resolves when the stream has taken it. */
  async write(name: StreamName, data: Uint8Array): Promise<void> {
    await write(this.#terminal[name], this.#filters[name]?.take(data) ?? data);
  }

  /** Writes what was kept back, as the beginning of a character. */
  async end(): Promise<void> {
    for (const name of ['stdout', 'stderr'] as const)
      await write(this.#terminal[name], this.#filters[name]?.end() ?? new Uint8Array());
  }
}
