/** A real terminal for tests: one tmux server per terminal, on a socket of its own. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, vi } from 'vitest';
import { isAlive } from './is-alive.ts';

/** Why there is no terminal to test with. */
export const noTmux: string | undefined =
  spawnSync('tmux', ['-V'], { stdio: 'ignore' }).error === undefined ? undefined : 'the program tmux';

/** Generous: the machine may be busy. */
const PATIENCE = { timeout: 30_000, interval: 50 };

/** After so long without what was to come of it a key is pressed again. */
const AGAIN_MS = 5_000;

/** See the file's head. */
export class Tmux implements Disposable {
  readonly #socket: string;
  readonly #server: number;

  /** Runs a line of shell, 100 columns wide; the last thing on the screen is then `status=N`. */
  constructor(directory: string, line: string, env: Record<string, string> = {}) {
    // never that of a terminal before: its server goes on for a moment when it is told to end, and a client
    // that meets it there fails
    this.#socket = path.join(fs.mkdtempSync(path.join(directory, 'tmux-')), 'socket');
    // Ctrl-C reaches the shell around the program too; a handler, unlike ignoring, is not inherited.
    const command = `trap : INT; ${line}; echo status=$?; exec sleep 1000`;
    const words = ['-f', '/dev/null', 'new-session', '-d', '-x', '100', '-y', '30', 'sh', '-c', command];
    this.#tmux(words, { PATH: process.env.PATH!, LC_ALL: 'C.UTF-8', TERM: 'xterm', ...env });
    this.#server = Number(this.#tmux(['display-message', '-p', '#{pid}']));
  }

  /** Sends keys by tmux's names (`Enter`, `C-c`, `Up`), or text that is none of these. */
  press(...keys: readonly string[]): void {
    this.#tmux(['send-keys', ...keys]);
  }

  /** Types characters as they are. */
  type(text: string): void {
    this.#tmux(['send-keys', '-l', '--', text]);
  }

  resize(columns: number, rows: number): void {
    this.#tmux(['resize-window', '-x', String(columns), '-y', String(rows)]);
  }

  /** The screen, lines that were wrapped joined, without the empty end. */
  screen(): string {
    return this.#tmux(['capture-pane', '-p', '-J']).replace(/\s+$/, '');
  }

  /** Waits until the screen matches. */
  async until(pattern: RegExp): Promise<void> {
    await vi.waitFor(() => expect(this.screen()).toMatch(pattern), PATIENCE);
  }

  /** Presses keys until the screen matches; again only when it has not for a while. */
  async pressUntil(keys: readonly string[], pattern: RegExp): Promise<void> {
    let pressed = Number.NEGATIVE_INFINITY;
    await vi.waitFor(() => {
      if (performance.now() - pressed >= AGAIN_MS) {
        pressed = performance.now();
        this.press(...keys);
      }
      expect(this.screen()).toMatch(pattern);
    }, PATIENCE);
  }

  /** The server is gone when this returns. */
  [Symbol.dispose](): void {
    this.#tmux(['kill-server']);
    const deadline = performance.now() + PATIENCE.timeout;
    while (isAlive(this.#server)) {
      if (performance.now() > deadline) throw new Error(`tmux server ${this.#server} did not end`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }

  #tmux(words: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
    return execFileSync('tmux', ['-S', this.#socket, ...words], { encoding: 'utf8', env });
  }
}
