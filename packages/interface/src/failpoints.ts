/**
 * Named places between two steps, where a test makes the program fail, wait or die (docs/failpoints.md).
 * Without a specification they do nothing and cost one call.
 */
export interface Failpoints {
  /**
   * In code that can wait: a delay is awaited, and others go on meanwhile. Kill happens at once; an error is
   * thrown before it returns.
   */
  pass(name: string): Promise<void> | undefined;
  /** In code that cannot: a delay holds up the whole process. */
  passSync(name: string): void;
  /**
   * The part of the specification that is about another program: items whose names begin with `prefix`, in
   * the same grammar; `undefined`: none.
   */
  forProgram(prefix: string): string | undefined;
}

/** The inert ones. */
export const NO_FAILPOINTS: Failpoints = Object.freeze({
  pass: () => undefined,
  passSync: () => {},
  forProgram: () => undefined,
});
