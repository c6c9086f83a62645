/**
 * What stands between the daemon and a driver of somebody else: each failure names the module and the method, an answer that is not what the contract says is
 * refused where it was given, and a call that does not end is told of. A wrong state, let through, would be written to the disk, and its container be lost to the
 * next daemon. See docs/writing-a-driver.md.
 */
import {
  type CgroupDriver,
  type FilesystemDriver,
  isWardenError,
  type Logger,
  type NetworkDriver,
  type ProbeResult,
  type QuotaDriver,
  toWardenError,
  WardenError,
} from '@warden/interface';

/** The roles whose drivers can come from elsewhere. */
export interface ForeignDrivers {
  readonly filesystem: FilesystemDriver;
  readonly network: NetworkDriver;
  readonly cgroup: CgroupDriver;
  readonly quota: QuotaDriver;
}

/** One of them. */
export type ForeignRole = keyof ForeignDrivers;

/** All of them. */
export const FOREIGN_ROLES: readonly ForeignRole[] = ['filesystem', 'network', 'cgroup', 'quota'];

type Check = (value: unknown) => boolean;

/** What an answer has to be, in words and as a check. Absent: nothing is answered. */
interface Answer {
  readonly what: string;
  readonly isRight: Check;
}

/** A method of the contract. */
interface Method {
  /** It answers at once: no promise. */
  readonly isSync?: true;
  readonly answer?: Answer;
}

type MethodNames<T> = {
  [K in keyof T]-?: NonNullable<T[K]> extends (...words: never[]) => unknown ? K : never;
}[keyof T];
type OptionalNames<T> = {
  [K in MethodNames<T>]: undefined extends T[K] ? K : never;
}[MethodNames<T>];

/** All methods of a contract: those that every driver has, and those that it may lack. */
interface Contract<T> {
  readonly required: Readonly<Record<Exclude<MethodNames<T>, OptionalNames<T>>, Method>>;
  readonly optional: Readonly<Record<OptionalNames<T>, Method>>;
  /** What `supports` has to say. */
  readonly supports: Readonly<Record<string, Check>>;
}

const isFlag: Check = (value) => typeof value === 'boolean';
const isText: Check = (value) => typeof value === 'string';
const isBig: Check = (value) => typeof value === 'bigint' && value >= 0n;
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isFunction: Check = (value) => typeof value === 'function';
const isAbsolute: Check = (value) => typeof value === 'string' && value.startsWith('/');
const isListOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const isOptional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const isOneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
const isObject: Check = (value) => typeof value === 'object' && value !== null;
const isShaped =
  (shape: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isObject(value) &&
    Object.entries(shape).every(([key, check]) => check((value as Record<string, unknown>)[key]));

/** Flat JSON. A promise is none: it would be recorded as nothing at all. */
const isState: Check = (value) => {
  if (!isObject(value) || ![Object.prototype, null].includes(Object.getPrototypeOf(value))) return false;
  return Object.values(value as object).every(
    (one) => one === null || ['string', 'boolean'].includes(typeof one) || Number.isFinite(one),
  );
};
const isProbeResult: Check = (value) =>
  isShaped({ ok: isOneOf(true) })(value) || isShaped({ ok: isOneOf(false), reason: isText })(value);
const isMount = isShaped({ type: isText, source: isText, target: isAbsolute, options: isListOf(isText) });
const isRoot: Check = (value) =>
  isListOf(isMount)(value) && (value as { readonly target: string }[])[0]?.target === '/';
const DISK_LIMITS = { blockSoft: isBig, blockHard: isBig, inodeSoft: isBig, inodeHard: isBig };

const STATE: Answer = { what: 'a flat object of texts, numbers, booleans and nulls', isRight: isState };
const PROBED: Answer = { what: '{ ok: true } or { ok: false, reason: text }', isRight: isProbeResult };
const LIMITS: Answer = {
  what: '{ blockSoft, blockHard, inodeSoft, inodeHard }, each a bigint',
  isRight: isShaped(DISK_LIMITS),
};
const BIG: Answer = { what: 'a bigint', isRight: isBig };
const TEXTS: Answer = { what: 'a list of texts', isRight: isListOf(isText) };

const CONTRACTS: { readonly [R in ForeignRole]: Contract<ForeignDrivers[R]> } = {
  filesystem: {
    required: {
      probe: { answer: PROBED },
      plan: { isSync: true, answer: STATE },
      prepare: {},
      mounts: {
        isSync: true,
        answer: {
          what: 'a list of { type, source, target, options }, the first with the target /',
          isRight: isRoot,
        },
      },
      release: {},
    },
    optional: {
      writableLayer: { isSync: true, answer: { what: 'an absolute path', isRight: isAbsolute } },
    },
    supports: { wholeRootWritable: isFlag, constantTimeCreate: isFlag, nestable: isFlag },
  },
  network: {
    required: {
      probe: { answer: PROBED },
      setup: {},
      plan: { isSync: true, answer: STATE },
      inside: {
        isSync: true,
        answer: {
          what: '{ interface, address, prefixLength, gateway, mtu, gatewayMac }',
          isRight: isShaped({
            ...{ interface: isText, address: isText, prefixLength: isCount },
            ...{ gateway: isText, mtu: isCount, gatewayMac: isText },
          }),
        },
      },
      attach: {},
      mapPort: {},
      allowEgress: {},
      setBandwidth: {},
      bandwidth: {
        answer: {
          what: '{ inRate, inBurst, outRate, outBurst }, each a bigint',
          isRight: isShaped({ inRate: isBig, inBurst: isBig, outRate: isBig, outBurst: isBig }),
        },
      },
      restore: {},
      release: {},
      sweep: { answer: TEXTS },
      close: {},
    },
    optional: {
      begin: {},
      withdraw: {},
      watchDenials: { isSync: true },
      watchRules: { isSync: true },
      foreignAddresses: { answer: TEXTS },
      list: { answer: TEXTS },
      standing: { answer: TEXTS },
      dismantle: {},
    },
    supports: {
      ...{ link: isFlag, portMapping: isFlag, egressRules: isFlag },
      ...{ bandwidth: isFlag, closedInbound: isFlag },
    },
  },
  cgroup: {
    required: {
      probe: { answer: PROBED },
      setup: {},
      plan: { isSync: true, answer: STATE },
      create: {
        answer: { what: `nothing, or ${STATE.what}`, isRight: isOptional(isState) },
      },
      joinFiles: {
        isSync: true,
        answer: { what: 'a list of absolute paths', isRight: isListOf(isAbsolute) },
      },
      setCpuShares: { answer: BIG },
      cpuShares: { answer: BIG },
      setMemoryLimit: { answer: BIG },
      memoryLimit: { answer: BIG },
      memoryStat: {
        answer: {
          what: 'an object of bigints',
          isRight: (value) => isObject(value) && Object.values(value as object).every(isOptional(isBig)),
        },
      },
      cpuStat: {
        answer: {
          what: '{ usage, user, system }, each a bigint',
          isRight: isShaped({ usage: isBig, user: isBig, system: isBig }),
        },
      },
      pressureStat: { answer: { what: 'an object', isRight: isObject } },
      freeze: {},
      thaw: {},
      isFrozen: { answer: { what: 'a boolean', isRight: isFlag } },
      watchOutOfMemory: {
        answer: { what: '{ check, close }', isRight: isShaped({ check: isFunction, close: isFunction }) },
      },
      outOfMemoryKills: { answer: BIG },
      pids: { answer: { what: 'a list of process ids', isRight: isListOf(isCount) } },
      killAll: {},
      release: {},
      list: { answer: TEXTS },
    },
    optional: {
      reserve: {
        isSync: true,
        answer: {
          what: 'nothing, or { outside, inside }, both absolute paths',
          isRight: isOptional(isShaped({ outside: isAbsolute, inside: isAbsolute })),
        },
      },
      processCount: {
        answer: {
          what: '{ used, limit }, both numbers',
          isRight: isShaped({ used: isCount, limit: isOptional(isCount) }),
        },
      },
      openStatistics: {
        isSync: true,
        answer: {
          what: 'nothing, or { memoryStat, cpuStat, close }',
          isRight: isOptional(isShaped({ memoryStat: isFunction, cpuStat: isFunction, close: isFunction })),
        },
      },
      retire: {},
      close: {},
      standing: { answer: TEXTS },
      dismantle: {},
    },
    supports: {
      ...{ version: isOneOf(1, 2), memory: isFlag, swap: isFlag, cpu: isFlag },
      ...{ devices: isFlag, pids: isFlag, freezer: isFlag, pressure: isFlag },
    },
  },
  quota: {
    required: {
      probe: { answer: PROBED },
      plan: { isSync: true, answer: STATE },
      prepare: {},
      setLimits: { answer: LIMITS },
      limits: { answer: LIMITS },
      usage: {
        answer: {
          what: '{ bytesUsed, inodesUsed }, both bigints',
          isRight: isShaped({ bytesUsed: isBig, inodesUsed: isBig }),
        },
      },
      release: {},
    },
    optional: {
      discard: {},
      countsFiles: { isSync: true, answer: { what: 'a boolean', isRight: isFlag } },
    },
    supports: {
      ...{ limits: isFlag, softLimits: isFlag, inodeLimits: isFlag, countsRootFiles: isFlag },
      ...{ shrink: isFlag, errno: isOneOf('EDQUOT', 'ENOSPC') },
    },
  },
};

/** What a driver of the role lacks or has as something else, in words: empty when it is complete. */
export function flawsOf(role: ForeignRole, driver: Readonly<Record<string, unknown>>): readonly string[] {
  const { required, optional } = CONTRACTS[role];
  const flaws: string[] = [];
  // those of a cgroup driver are valid after setup
  if (role === 'cgroup' ? !('supports' in driver) : !isObject(driver.supports)) flaws.push('supports');
  else if (role !== 'cgroup') flaws.push(...unsaid(role, driver.supports));
  if (typeof driver.name !== 'string' || driver.name === '') flaws.push('name');
  flaws.push(...Object.keys(required).filter((name) => !isFunction(driver[name])));
  flaws.push(...Object.keys(optional).filter((name) => !isOptional(isFunction)(driver[name])));
  return flaws;
}

function unsaid(role: ForeignRole, supports: unknown): readonly string[] {
  return Object.entries(CONTRACTS[role].supports)
    .filter(([key, check]) => !check((supports as Record<string, unknown>)[key]))
    .map(([key]) => `supports.${key}`);
}

/** How long a module may take to be imported, and a probe to try one thing. */
const START_TIMEOUT_MS = 30_000;
/** When a call that does not end is told of first; then each time after twice as long. */
const PATIENCE_MS = 30_000;

/** Waits for what a start cannot do without. Nothing else keeps a daemon that waits for it alone from ending, as if all were done. */
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
 * The same driver. What its methods throw passes if it is a `WardenError`; anything else is one that names the module and the method, and so is a wrong answer.
 * A probe that throws or does not end is a driver that does not work here.
 */
export function guarded<T extends ForeignDrivers[ForeignRole]>(driver: T, guarding: Guarding): T {
  const { required, optional } = CONTRACTS[guarding.role];
  const methods = { ...required, ...optional } as Readonly<Record<string, Method>>;
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
  readonly #contract: Method;

  constructor(guarding: Guarding, driver: ForeignDrivers[ForeignRole], name: string, contract: Method) {
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
    const wanted = this.#contract.answer;
    if (wanted === undefined || wanted.isRight(answer)) return answer;
    throw new TypeError(`it answered ${inWords(answer)}, and the contract says ${wanted.what}`);
  }

  #checkSupports(): void {
    const flaws = unsaid('cgroup', (this.#driver as CgroupDriver).supports ?? {});
    if (flaws.length > 0) throw new TypeError(`it has left ${flaws.join(', ')} unsaid`);
  }

  #fields(): Readonly<Record<string, unknown>> {
    const { role, module } = this.#guarding;
    return { role, driver: this.#driver.name, module, method: this.#name };
  }

  /** As the contract has it, an error says what it is about. One that does not is told of with the place that it comes from. */
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
      fields: { object: module, ...facts, ...this.#fields() },
    });
  }
}

/** A spec has the container's id; the other calls have a state, which is the driver's own. */
function idIn(words: readonly unknown[]): { readonly id?: string } {
  const { id } = (words[0] ?? {}) as { readonly id?: unknown };
  return typeof id === 'string' ? { id } : {};
}

function inWords(value: unknown): string {
  if (value instanceof Promise) return 'a promise';
  try {
    const text = JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? `${one}n` : one));
    if (text !== undefined) return text.length > 200 ? `${text.slice(0, 200)}…` : text;
  } catch {
    // a cycle, or a getter that throws
  }
  return value === undefined ? 'nothing' : `a ${typeof value}`;
}
