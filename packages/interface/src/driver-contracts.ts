/**
 * The contracts of the roles whose drivers can come from elsewhere, as they can be checked while a program
 * runs: the methods of each, what they answer, and what `supports` has to say. The types say the same to a
 * compiler, which a driver in JavaScript has none of. The daemon refuses by these checks, and the compliance
 * kits fail by them, so that a driver that passes a kit is not refused later.
 */
import type { CgroupDriver } from './cgroup.ts';
import type { FilesystemDriver } from './filesystem.ts';
import type { NetworkDriver } from './network.ts';
import type { QuotaDriver } from './quota.ts';

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

/** A method of a driver's contract. */
export interface DriverMethod {
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
  readonly required: Readonly<Record<Exclude<MethodNames<T>, OptionalNames<T>>, DriverMethod>>;
  readonly optional: Readonly<Record<OptionalNames<T>, DriverMethod>>;
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
      linked: { answer: TEXTS },
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
export function driverFlaws(role: ForeignRole, driver: Readonly<Record<string, unknown>>): readonly string[] {
  const { required, optional } = CONTRACTS[role];
  const flaws: string[] = [];
  // those of a cgroup driver are valid after setup
  if (role === 'cgroup' ? !('supports' in driver) : !isObject(driver.supports)) flaws.push('supports');
  else if (role !== 'cgroup') flaws.push(...unsaidSupports(role, driver.supports));
  if (typeof driver.name !== 'string' || driver.name === '') flaws.push('name');
  flaws.push(...Object.keys(required).filter((name) => !isFunction(driver[name])));
  flaws.push(...Object.keys(optional).filter((name) => !isOptional(isFunction)(driver[name])));
  return flaws;
}

/** What `supports` leaves unsaid or says as something else: empty when it is complete. */
export function unsaidSupports(role: ForeignRole, supports: unknown): readonly string[] {
  return Object.entries(CONTRACTS[role].supports)
    .filter(([key, check]) => !check(((supports ?? {}) as Record<string, unknown>)[key]))
    .map(([key]) => `supports.${key}`);
}

/** All methods of the role, by name. */
export function driverMethods(role: ForeignRole): Readonly<Record<string, DriverMethod>> {
  const { required, optional } = CONTRACTS[role];
  return { ...required, ...optional };
}

/** What is wrong with an answer of this method, in words; `undefined`: nothing. */
export function answerFlaw({ answer: wanted }: DriverMethod, answer: unknown): string | undefined {
  if (wanted === undefined || wanted.isRight(answer)) return undefined;
  return `it answered ${inWords(answer)}, and the contract says ${wanted.what}`;
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
