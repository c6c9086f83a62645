/**
 * Somebody else on the same daemon, with a container of their own: how long they wait for a ping and for a
 * job, again and again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientContainer, WardenClient } from '@warden/client';

const PAUSE_MS = 20;

/** Milliseconds, in the order in which they were measured. */
export interface Waits {
  readonly ping: readonly number[];
  readonly run: readonly number[];
}

/** See the file's head. A wrong answer is thrown by `stop`. */
export class Bystander {
  readonly #warden: WardenClient;
  readonly #box: ClientContainer;
  readonly #waits: { ping: number[]; run: number[] } = { ping: [], run: [] };
  #isOver = false;
  #watching: Promise<void>;

  constructor(warden: WardenClient, box: ClientContainer) {
    this.#warden = warden;
    this.#box = box;
    this.#watching = Promise.all([this.#ping(), this.#run()]).then(() => {});
    this.#watching.catch(() => {}); // it is told by stop
  }

  /** So many jobs have been run so far. */
  get count(): number {
    return this.#waits.run.length;
  }

  async stop(): Promise<Waits> {
    this.#isOver = true;
    await this.#watching;
    return this.#waits;
  }

  async #ping(): Promise<void> {
    while (!this.#isOver) {
      const began = performance.now();
      await this.#warden.ping();
      this.#waits.ping.push(performance.now() - began);
      await delay(PAUSE_MS);
    }
  }

  async #run(): Promise<void> {
    for (let at = 0; !this.#isOver; at++) {
      const began = performance.now();
      const { stdoutText, exitStatus } = await this.#box.run(`echo ${at}`);
      if (exitStatus !== 0 || stdoutText !== `${at}\n`)
        throw new Error(`a job of somebody else ended with ${exitStatus} and ${JSON.stringify(stdoutText)}`);
      this.#waits.run.push(performance.now() - began);
      await delay(PAUSE_MS);
    }
  }
}
