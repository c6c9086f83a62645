/**
 * The id of the request that is being worked on, wherever the work goes: so that a driver's line tells which
 * request it is about, without any driver knowing of requests. Following the work costs some tens of
 * microseconds per request before Node 24, so it is done only when wanted.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Configuration } from './config.ts';

/** See the file's head. */
export class RequestContext {
  /** Made at the first need: Node watches every promise from then on. */
  #storage: AsyncLocalStorage<string> | undefined;
  #isWanted = false;

  /**
   * Whether ids are wanted is a matter of `logging`; by default wherever debug lines are, and where it costs
   * nothing.
   */
  configure({ request_ids, level }: Configuration['logging'], debugScopes: readonly string[]): void {
    const isDebugging = /^(debug|all)/.test(level) || debugScopes.length > 0;
    this.#isWanted =
      request_ids === 'always' || (request_ids === 'auto' && (isDebugging || isCheap(process.versions.node)));
    if (this.#isWanted) this.#storage ??= new AsyncLocalStorage();
    else this.#storage?.disable();
  }

  /** Runs `action` as the work of a request. */
  enclose<T>(requestId: string, action: () => T): T {
    if (!this.#isWanted || this.#storage === undefined) return action();
    return this.#storage.run(requestId, action);
  }

  /** The id; `undefined` outside of any request. */
  current(): string | undefined {
    return this.#storage?.getStore();
  }
}

/** Since then the engine itself carries the context along. */
function isCheap(version: string): boolean {
  return Number(version.split('.')[0]) >= 24;
}
