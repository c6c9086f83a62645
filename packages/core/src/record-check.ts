/**
 * Whether a stored record is complete and of the right kinds. A wrong value that were let through would fail
 * somewhere in the middle of the recovery, or be put into the kernel.
 */
import { isContainerId, WardenError } from '@warden/interface';
import { isDomain } from './domain.ts';
import { parseAddress } from './pools.ts';
import type { Stored } from './record.ts';

type Check = (value: unknown) => boolean;
type Shape = Readonly<Record<string, Check>>;

const isText: Check = (value) => typeof value === 'string';
const isFlag: Check = (value) => typeof value === 'boolean';
const isNumber: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isPort: Check = (value) => isNumber(value) && (value as number) <= 65_535;
const isBig: Check = (value) => typeof value === 'string' && /^\d{1,20}$/.test(value);
const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isListOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const isOneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    words.includes(value as string);
const isShaped =
  (shape: Shape): Check =>
  (value) =>
    isObject(value) && Object.entries(shape).every(([key, check]) => check((value as never)[key]));

const isByte: Check = (value) => isNumber(value) && (value as number) <= 255;
/** `first` and `last` of what `toNumber` knows, in order. */
const isRangeOf =
  (toNumber: (value: unknown) => number | undefined): Check =>
  (value) => {
    if (!isObject(value)) return false;
    const { first, last } = value as Readonly<Record<string, unknown>>;
    const [from, to] = [toNumber(first), toNumber(last)];
    return from !== undefined && to !== undefined && from <= to;
  };

const RULE: Shape = {
  protocol: isOneOf('tcp', 'udp', 'icmp', 'all'),
  log: isFlag,
  domain: optional((value) => typeof value === 'string' && isDomain(value)),
  network: optional(isRangeOf((value) => (typeof value === 'string' ? parseAddress(value) : undefined))),
  ports: optional(isRangeOf((value) => (isPort(value) ? (value as number) : undefined))),
  icmpType: optional(isByte),
  icmpCode: optional(isByte),
};

const RESOURCES: Shape = {
  container_id: (value) => typeof value === 'string' && isContainerId(value),
  handle: isText,
  network: (value) => typeof value === 'string' && parseAddress(value) !== undefined,
  uid: isNumber,
  ports: isListOf(isPort),
  net_in: isListOf((pair) => isListOf(isPort)(pair) && (pair as unknown[]).length === 2),
  net_out: isListOf(isShaped(RULE)),
  limit_memory: optional(isBig),
  limit_cpu: optional(isBig),
};

const WARDEN: Shape = {
  rootfs: isText,
  first_id: optional(orNull(isNumber)),
  image: optional(
    (value) =>
      isShaped({ image: isText, layers: isListOf(isText) })(value) &&
      (value as { layers: unknown[] }).layers.length > 0,
  ),
  destroying: optional(isFlag),
  paused: optional(isFlag),
  properties: optional(isListOf((pair) => isListOf(isText)(pair) && (pair as unknown[]).length === 2)),
  order: optional(isNumber),
  held: optional(isFlag),
  unsafe: optional(isListOf(isText)),
  drivers: isShaped({ filesystem: isObject, network: isObject, cgroup: isObject, quota: isObject }),
  out_of_memory_kills: optional(isBig),
  bandwidth: optional(isShaped({ rate: isBig, burst: isBig })),
};

const JOB: Shape = {
  discard_output: isFlag,
  log_tag: orNull(isText),
  sockets: isFlag,
  status: optional((value) => Array.isArray(value) && isNumber(value[0])),
};

const RECORD: Shape = {
  events: isListOf(isText),
  jobs: optional(
    (value) =>
      isObject(value) &&
      Object.entries(value as object).every(([id, job]) => /^\d{1,10}$/.test(id) && isShaped(JOB)(job)),
  ),
  grace_time: optional(orNull((value) => typeof value === 'number' && value >= 0)),
  state: isOneOf('born', 'active', 'stopped'),
};

/** Errors: `INVALID_SPEC` naming the key. */
export function checkStored(found: unknown): Stored {
  check('', RECORD, found);
  check('resources.', RESOURCES, (found as Stored).resources);
  check('warden.', WARDEN, (found as Stored).warden);
  return found as Stored;
}

function check(prefix: string, shape: Shape, found: unknown): void {
  const values = (isObject(found) ? found : {}) as Readonly<Record<string, unknown>>;
  for (const [key, isRight] of Object.entries(shape)) {
    if (isRight(values[key])) continue;
    const what = values[key] === undefined ? 'lacks' : 'has a wrong value for';
    throw new WardenError('INVALID_SPEC', `the record ${what} ${prefix}${key}`, {
      fields: { operation: 'read record', object: `${prefix}${key}` },
    });
  }
}
