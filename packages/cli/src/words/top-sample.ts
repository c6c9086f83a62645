/** What `warden top` knows at one moment, and what it shows of it. */
import type { ContainerReport, WardenMetrics } from '@warden/interface';
import type { Cell, Column } from '../human/columns.ts';
import { ageText, sizeText } from '../human/units.ts';
import { memoryOf, stateCell } from './ps.ts';

/** One look at everything. */
export interface Look {
  /** Milliseconds, of a clock that never jumps. */
  readonly at: number;
  readonly reports: readonly ContainerReport[];
  readonly metrics: WardenMetrics;
}

/** A container in the table. */
export interface TopRow {
  readonly handle: string;
  /** Percent of one processor since the look before; absent with the first one. */
  readonly cpu?: number;
  readonly memory?: bigint;
  readonly memoryLimit?: bigint;
  readonly disk?: bigint;
  readonly jobs: number;
  readonly state: string;
}

/** What the table can be ordered by. */
export const SORT_KEYS = ['cpu', 'memory', 'disk', 'jobs', 'handle'] as const;
export type SortKey = (typeof SORT_KEYS)[number];

/** What drivers answer for "no limit". */
const NO_LIMIT = 2n ** 60n;

/** Rows, the greatest first. */
export function rowsOf(now: Look, before: Look | undefined, key: SortKey): readonly TopRow[] {
  const earlier = new Map(before?.reports.map(({ handle, info }) => [handle, info?.cpuStat?.usage]));
  const rows = now.reports.map(({ handle, info, error }): TopRow => {
    const [usage, last] = [info?.cpuStat?.usage, earlier.get(handle)];
    const isKnown = usage !== undefined && last !== undefined && before !== undefined && now.at > before.at;
    // a handle may stand for another container by now
    const spent = isKnown && usage >= last ? Number(usage - last) / 1e6 : undefined;
    const limit = info?.memoryStat?.hierarchical_memory_limit;
    const memory = memoryOf(info);
    return {
      handle,
      state: stateCell(info, error?.code).text,
      jobs: info?.jobIds.length ?? 0,
      ...(spent !== undefined && { cpu: (spent / (now.at - before!.at)) * 100 }),
      ...(memory !== undefined && { memory }),
      ...(limit !== undefined && limit < NO_LIMIT && { memoryLimit: limit }),
      ...(info?.diskStat !== undefined && { disk: info.diskStat.bytesUsed }),
    };
  });
  return rows.sort((a, b) => compare(a, b, key));
}

function compare(a: TopRow, b: TopRow, key: SortKey): number {
  if (key !== 'handle') {
    const difference = Number(b[key] ?? -1) - Number(a[key] ?? -1);
    if (difference !== 0) return difference;
  }
  return a.handle < b.handle ? -1 : a.handle > b.handle ? 1 : 0;
}

/** Titles of {@link cellsOf}. */
export const TOP_HEAD: readonly Column[] = [
  { title: 'HANDLE' },
  { title: 'CPU', isNumber: true },
  { title: 'MEMORY', isNumber: true },
  { title: 'LIMIT', isNumber: true },
  { title: 'DISK', isNumber: true },
  { title: 'JOBS', isNumber: true },
  { title: 'STATE' },
];

/** A row as the table shows it. */
export function cellsOf(row: TopRow): readonly (Cell | string)[] {
  const size = (bytes: bigint | undefined): string => (bytes === undefined ? '-' : sizeText(bytes));
  const isTight =
    row.memory !== undefined && row.memoryLimit !== undefined && row.memory * 10n > row.memoryLimit * 9n;
  return [
    row.handle,
    row.cpu === undefined ? '-' : `${row.cpu.toFixed(1)} %`,
    { text: size(row.memory), tone: isTight ? 'warning' : undefined },
    size(row.memoryLimit),
    size(row.disk),
    String(row.jobs),
    row.state,
  ];
}

/** One line about the daemon. */
export function headline({ metrics }: Look): string {
  const pools = metrics.pools.map(({ name, used, limit }) => `${name} ${used}/${limit}`);
  return [
    `${metrics.containers} containers`,
    `${metrics.jobs} jobs`,
    ...pools,
    `out of memory ${metrics.totals.outOfMemory}`,
    `up ${ageText(metrics.uptimeMs)}`,
  ].join('   ');
}
