/** `warden ps`: the containers there are. */
import { type ContainerInfo, type ContainerReport, MAX_ENDED_JOBS } from '@warden/interface';
import { columns } from '../human/columns.ts';
import { shown } from '../human/shown.ts';
import { painter, type Tone } from '../human/style.ts';
import { parsePairs, sizeText } from '../human/units.ts';
import { writeList } from '../human/write-answer.ts';
import { write } from '../terminal.ts';
import type { Word } from './word.ts';

/** Names labels to look for. */
export const LABEL_FLAG = {
  name: 'label',
  short: 'l',
  value: 'NAME=VALUE',
  isMany: true,
  text: 'Only containers that have this label; several: all of them.',
} as const;

/** See the file's head. */
export const ps: Word = {
  name: 'ps',
  summary: 'List the containers with state, address, memory, jobs and labels.',
  details: [
    'Looking keeps none of them alive. A program reads --json or --jsonl; handles alone come with -q.',
  ],
  operands: [],
  flags: [LABEL_FLAG, { name: 'quiet', short: 'q', text: 'Handles alone, one a line.' }],
  examples: [
    ['warden ps', 'a table'],
    ['warden ps --label app=web -q', 'handles of those with a label'],
    ['warden ps --jsonl | jq -r \'select(.info.state == "stopped").handle\'', 'for programs'],
  ],
  async run(given, context) {
    const properties = given.has('label') ? parsePairs(given.values('label'), '--label') : undefined;
    const reports = await (await context.connect()).infoMany({ properties });
    const { terminal } = context;
    if (given.has('quiet') && context.format === 'text') {
      const isTerminal = terminal.stdout.isTTY === true;
      const names = reports.map(({ handle }) => `${isTerminal ? shown(handle) : handle}\n`);
      await write(terminal.stdout, names.join(''));
      return 0;
    }
    await writeList(context, reports, () => table(reports, context.terminal));
    return 0;
  },
};

function table(
  reports: readonly ContainerReport[],
  terminal: Parameters<typeof painter>[0],
): readonly string[] {
  return columns(
    [
      { title: 'HANDLE' },
      { title: 'STATE' },
      { title: 'ADDRESS' },
      { title: 'MEMORY', isNumber: true },
      { title: 'JOBS', isNumber: true },
      { title: 'LABELS' },
    ],
    reports.map(({ handle, info, error }) => [
      handle,
      stateCell(info, error?.code),
      info?.containerIp ?? '-',
      memoryOf(info) === undefined ? '-' : sizeText(memoryOf(info)!),
      jobsCell(info),
      labelsOf(info),
    ]),
    { paint: painter(terminal) },
  );
}

/** State in a word, with what is remarkable about it. */
export function stateCell(
  info: ContainerInfo | undefined,
  errorCode: string | undefined,
): { readonly text: string; readonly tone: Tone } {
  if (info === undefined) return { text: errorCode ?? 'unknown', tone: 'bad' };
  if (info.events.includes('out of memory')) return { text: `${info.state}, out of memory`, tone: 'bad' };
  if (info.paused === true) return { text: 'paused', tone: 'warning' };
  return { text: info.state, tone: info.state === 'active' ? 'good' : 'quiet' };
}

/** How many run, and of how many the result waits to be taken. */
function jobsCell(info: ContainerInfo | undefined): string {
  if (info === undefined) return '-';
  const { jobIds, endedJobs = [] } = info;
  const ended = `${endedJobs.length}${endedJobs.length === MAX_ENDED_JOBS ? '+' : ''} ended`;
  return endedJobs.length === 0 ? String(jobIds.length) : `${jobIds.length}, ${ended}`;
}

/** What its processes have in memory, without the cache of files; cgroup v2 and v1 alike. */
export function memoryOf(info: ContainerInfo | undefined): bigint | undefined {
  return info?.memoryStat?.total_rss ?? info?.memoryStat?.rss;
}

function labelsOf(info: ContainerInfo | undefined): string {
  return Object.entries(info?.properties ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}
