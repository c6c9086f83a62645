/**
 * What stands between the daemon and a driver of somebody else: each failure names the module and the method,
 * an answer that is not what the contract says is refused where it was given, and a call that does not end is
 * told of. A wrong state, let through, would be written to the disk, and its container be lost to the next
 * daemon. See docs/writing-a-driver.md.
 */
import {
  answerFlaw,
  type CgroupDriver,
  type DriverMethod,
  driverMethods,
  type ForeignDrivers,
  type ForeignRole,
  isWardenError,
  type Logger,
  type ProbeResult,
  toWardenError,
  unsaidSupports,
  WardenError,
} from '@warden/interface';

/** How long a module may take to be imported, and a probe to try one thing. */
const START_TIMEOUT_MS = 30_000;
/** When a call that does not end is told of first; then each time after twice as long. */
const PATIENCE_MS = 30_000;

/**
 * Waits for what a start cannot do without. Nothing else keeps a daemon that waits for it alone from ending,
 * as if all were done.
 */
export async function withinStart<T>(action: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    const fail = (): void => reject(new Error(`${what} within ${START_TIMEOUT_MS / 1_000} s`));
    timer = setTimeout(fail, START_TIMEOUT_MS);
  });
  try {
    return await Promise.race([action, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whose driver it is, and where is told what it does. */
export interface Guarding {
  readonly role: ForeignRole;
  /** What the configuration names. */
  readonly module: string;
  readonly logger: Logger;
}

/**
 * The same driver. What its methods throw passes if it is a `WardenError`; anything else is one that names
 * the module and the method, and so is a wrong answer. A probe that throws or does not end is a driver that
 * does not work here.
 */
export function guarded<T extends ForeignDrivers[ForeignRole]>(driver: T, guarding: Guarding): T {
  const methods = driverMethods(guarding.role);
  const made = new Map<string | symbol, unknown>();
  return new Proxy(driver, {
    get(target, key) {
      // the driver's own fields may be private ones, which a proxy has none of
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function' || typeof key !== 'string' || !Object.hasOwn(methods, key))
        return value;
      if (!made.has(key)) made.set(key, new Guard(guarding, target, key, methods[key]!).method);
      return made.get(key);
    },
  });
}

/** One method of a driver. */
class Guard {
  readonly #guarding: Guarding;
  readonly #driver: ForeignDrivers[ForeignRole];
  readonly #name: string;
  readonly #contract: DriverMethod;

  constructor(guarding: Guarding, driver: ForeignDrivers[ForeignRole], name: string, contract: DriverMethod) {
    this.#guarding = guarding;
    this.#driver = driver;
    this.#name = name;
    this.#contract = contract;
  }

  get method(): (...words: unknown[]) => unknown {
    if (this.#contract.isSync) return (...words) => this.#atOnce(words);
    if (this.#name === 'probe') return (...words) => this.#probe(words);
    return (...words) => this.#inTime(words);
  }

  #call(words: readonly unknown[]): unknown {
    const driver = this.#driver as unknown as Readonly<Record<string, (...words: unknown[]) => unknown>>;
    return driver[this.#name]!(...words);
  }

  #atOnce(words: readonly unknown[]): unknown {
    try {
      const answer = this.#call(words);
      // refused below; what becomes of it is nobody's then, and would end the daemon
      if (answer instanceof Promise) answer.catch(() => undefined);
      return this.#checked(answer);
    } catch (error) {
      throw this.#named(error);
    }
  }

  /** The timer also keeps a daemon that does nothing but wait from ending, as if all were done. */
  async #inTime(words: readonly unknown[]): Promise<unknown> {
    const since = performance.now();
    let patience = PATIENCE_MS;
    const tell = (): void => {
      const seconds = Math.round((performance.now() - since) / 1_000);
      this.#guarding.logger.warn('driver-does-not-answer', {
        ...this.#fields(),
        seconds,
        ...idIn(words),
        advice: 'what waits for it waits on; a restart of the daemon ends the wait, and containers go on',
      });
      patience *= 2;
      timer = setTimeout(tell, patience);
    };
    let timer = setTimeout(tell, patience);
    try {
      const answer = this.#checked(await this.#call(words));
      if (this.#guarding.role === 'cgroup' && this.#name === 'setup') this.#checkSupports();
      return answer;
    } catch (error) {
      throw this.#named(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #probe(words: readonly unknown[]): Promise<ProbeResult> {
    try {
      const call = async (): Promise<unknown> => this.#call(words);
      return this.#checked(await withinStart(call(), 'it has not answered')) as ProbeResult;
    } catch (error) {
      return { ok: false, reason: this.#named(error).message };
    }
  }

  #checked(answer: unknown): unknown {
    const flaw = answerFlaw(this.#contract, answer);
    if (flaw !== undefined) throw new TypeError(flaw);
    return answer;
  }

  #checkSupports(): void {
    const flaws = unsaidSupports('cgroup', (this.#driver as CgroupDriver).supports);
    if (flaws.length > 0) throw new TypeError(`it has left ${flaws.join(', ')} unsaid`);
  }

  #fields(): Readonly<Record<string, unknown>> {
    const { role, module } = this.#guarding;
    return { role, driver: this.#driver.name, module, method: this.#name };
  }

  /**
   * As the contract has it, an error says what it is about. One that does not is told of with the place that
   * it comes from.
   */
  #named(error: unknown): WardenError {
    if (isWardenError(error)) return error;
    const { role, module, logger } = this.#guarding;
    const { code, message, fields } = toWardenError(error, this.#name);
    const text = `drivers.${role}: ${module} failed in ${this.#name}: ${message}`;
    logger.error('driver-failed', {
      ...this.#fields(),
      error: message,
      stack: error instanceof Error ? error.stack : undefined,
    });
    // there ENODEV says that the link is gone, for which a container is given up: only a driver that means it does so
    const { errno, ...others } = fields;
    const facts = this.#name === 'restore' ? others : fields;
    return new WardenError(code, text, {
      cause: error,
      fields: {
        object: module,
        ...facts,
        ...this.#fields(),
        ...(code === 'INTERNAL' && {
          advice: `a defect of the driver that drivers.${role} names, not of warden: tell its author`,
        }),
      },
    });
  }
}

/** A spec has the container's id; the other calls have a state, which is the driver's own. */
function idIn(words: readonly unknown[]): { readonly id?: string } {
  const { id } = (words[0] ?? {}) as { readonly id?: unknown };
  return typeof id === 'string' ? { id } : {};
}
