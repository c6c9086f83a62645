import { type ChildProcess, fork } from 'node:child_process';
import path from 'node:path';
import type { PoolOptions, PoolRunnerInitializer, PoolWorker, WorkerRequest } from 'vitest/node';
import { isolated } from './isolated.mjs';

/** How long a process that ran a file may take to end when it is told to. */
const END_WITHIN_MS = 500;

/** For what acts on the network namespace of its process: vitest's own worker, in fresh namespaces for each file. */
export const IN_FRESH_NAMESPACES: PoolRunnerInitializer = {
  name: 'isolated',
  createPoolWorker: (options) => new IsolatedWorker(options),
};

class IsolatedWorker implements PoolWorker {
  readonly name = 'isolated';
  readonly cacheFs = true;
  readonly #options: PoolOptions;
  #child: ChildProcess | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  on(event: string, callback: (arg: unknown) => void): void {
    this.#running.on(event, callback);
  }

  off(event: string, callback: (arg: unknown) => void): void {
    this.#running.off(event, callback);
  }

  send(message: WorkerRequest): void {
    this.#running.send(message);
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const { distPath, execArgv, env } = this.#options;
    // every program on the way becomes the next: the child is the worker, with its channel
    const child = fork(path.join(distPath, 'workers/forks.js'), [], {
      execPath: 'unshare',
      execArgv: isolated([process.execPath, ...execArgv]),
      env: env as NodeJS.ProcessEnv,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.#child = child;
  }

  async stop(): Promise<void> {
    const child = this.#running;
    if (child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      const patience = setTimeout(() => child.kill('SIGKILL'), END_WITHIN_MS);
      child.kill();
      await gone;
      clearTimeout(patience);
    }
    this.#child = undefined;
  }

  deserialize(data: unknown): unknown {
    return data;
  }

  get #running(): ChildProcess {
    if (this.#child === undefined) throw new Error('the worker was not started');
    return this.#child;
  }
}
