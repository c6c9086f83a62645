/** `warden ps`: the containers there are. */
import { type ContainerInfo, type ContainerReport, MAX_ENDED_JOBS } from '@warden/interface';
import { CommandError } from '../command-error.ts';
import { columns } from '../human/columns.ts';
import { shown } from '../human/shown.ts';
import { painter, type Tone } from '../human/style.ts';
import { parsePairs, sizeText } from '../human/units.ts';
import { tell, writeList } from '../human/write-answer.ts';
import { write } from '../terminal.ts';
import type { Word, WordContext } from './word.ts';

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
    'Each look begins the grace times anew. A program reads --json or --jsonl; handles alone come with -q.',
    'A handle may be any text. With -q one with control characters is written with escapes (\\x0a), so that each line is one handle, and told on standard error; blanks and quotes stay, which xargs takes for its own. With -0 each handle is written as it is, with a zero byte behind it, for xargs -0; the -- before it is for handles that begin with a dash.',
  ],
  operands: [],
  flags: [
    LABEL_FLAG,
    { name: 'quiet', short: 'q', text: 'Handles alone, one a line.' },
    { name: 'null', short: '0', text: 'Handles alone as they are, each with a zero byte behind it.' },
  ],
  examples: [
    ['warden ps', 'a table'],
    ['warden ps --label app=web -q', 'handles of those with a label'],
    ['warden ps -0 | xargs -0 -r warden inspect --', 'safe whatever the handles are'],
    ['warden ps --jsonl | jq -r \'select(.info.state == "stopped").handle\'', 'for programs'],
  ],
  async run(given, context) {
    const properties = given.has('label') ? parsePairs(given.values('label'), '--label') : undefined;
    const reports = await (await context.connect()).infoMany({ properties });
    const handles = reports.map(({ handle }) => handle);
    if (context.format !== 'text' || !(given.has('quiet') || given.has('null')))
      await writeList(context, reports, () => table(reports, context.terminal));
    else if (given.has('null')) await writeWhole(context, handles);
    else await writeLines(context, handles);
    return 0;
  },
};

/** One a line, whatever is in them: no handle may pass for two, or for another one, where a program reads lines. */
async function writeLines(context: WordContext, handles: readonly string[]): Promise<void> {
  const lines = handles.map(shown);
  await write(context.terminal.stdout, lines.map((line) => `${line}\n`).join(''));
  const escaped = lines.filter((line, at) => line !== handles[at]).length;
  if (escaped > 0)
    await tell(
      context,
      `handles with control characters, written with escapes: ${escaped}; -0 writes them as they are`,
    );
}

/** What ends with a zero byte cannot have one: it is left out, and could be no argument of a program either. */
async function writeWhole(context: WordContext, handles: readonly string[]): Promise<void> {
  const { terminal } = context;
  if (terminal.stdout.isTTY === true)
    throw new CommandError('ps: -0 is for another program, not for a terminal: warden ps -0 | xargs -0 ...');
  const whole = handles.filter((handle) => !handle.includes('\0'));
  await write(terminal.stdout, whole.map((handle) => `${handle}\0`).join(''));
  if (whole.length < handles.length)
    await tell(
      context,
      `handles with a zero byte, left out: ${handles.length - whole.length}; --json has them`,
    );
}

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
