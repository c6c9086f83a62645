/**
 * Logging as an injected component. Libraries never touch `console`; whoever assembles them decides where
 * lines go.
 */

/** Facts of one log line. `handle` or `id` is present wherever a container is meant. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * A structured logger. `event` is a kebab-case constant (`veth-create`), data goes into the fields.
 *
 * `debug` is `undefined` while its scope is switched off, so `log.debug?.(…)` costs nothing then, not even the
 * construction of the fields. None of the methods throws.
 */
export interface Logger {
  readonly debug: ((event: string, fields?: LogFields) => void) | undefined;
  /**
   * What is told only where everything may be told: whole requests and answers, with scripts and their output
   * (the original's level `debug2`). Absent or `undefined` while that is not wanted.
   */
  readonly trace?: ((event: string, fields?: LogFields) => void) | undefined;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A logger whose lines carry `scope` (appended to the parent's with a dot) and `fields` besides their own. */
  child(scope: string, fields?: LogFields): Logger;
}

/** A logger that drops everything: the default of every library option. */
export const silentLogger: Logger = {
  debug: undefined,
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
