/**
 * What a browser asks for: which part of the containers, in which order. Everything is bounded, and what is
 * not understood is refused.
 */

/** Columns by which containers can be ordered. */
export const ORDERS = ['created', 'name', 'state', 'cpu', 'memory', 'disk', 'processes', 'jobs'] as const;
/** One of them. */
export type Order = (typeof ORDERS)[number];

/** See the file's head. */
export interface Query {
  readonly order: Order;
  readonly isDescending: boolean;
  /** Part of a handle, in lower case; empty: all. */
  readonly find: string;
  readonly from: number;
  readonly count: number;
}

const MAX_FIND = 256;
const MAX_COUNT = 100;
const DEFAULT_COUNT = 50;

/** Reads what is behind the question mark; `undefined`: it is not understood. */
export function readQuery(text: string): Query | undefined {
  const words = new URLSearchParams(text);
  for (const name of words.keys())
    if (!['order', 'down', 'find', 'from', 'count'].includes(name) || words.getAll(name).length > 1)
      return undefined;
  const order = words.get('order') ?? 'created';
  const find = words.get('find') ?? '';
  const from = readNumber(words.get('from') ?? '0', 0, Number.MAX_SAFE_INTEGER);
  const count = readNumber(words.get('count') ?? String(DEFAULT_COUNT), 1, MAX_COUNT);
  if (!isOrder(order) || find.length > MAX_FIND || from === undefined || count === undefined)
    return undefined;
  const down = words.get('down') ?? '0';
  if (down !== '0' && down !== '1') return undefined;
  return { order, isDescending: down === '1', find: find.toLowerCase(), from, count };
}

function isOrder(text: string): text is Order {
  return (ORDERS as readonly string[]).includes(text);
}

function readNumber(text: string, min: number, max: number): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}
