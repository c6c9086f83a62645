/**
 * The two functions a test runner must offer. The kit declares its tests through them, so that it depends on
 * no runner: pass `{ describe, it }` of vitest, mocha, jest or `node:test`.
 */
export interface TestFunctions {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => Promise<void> | void): void;
}
