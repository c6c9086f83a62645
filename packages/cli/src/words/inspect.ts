/** `warden inspect`: everything about some containers. */
import type { ContainerInfo, ContainerReport, EndedJob } from '@warden/interface';
import { endedText } from '../exit-text.ts';
import { shown } from '../human/shown.ts';
import { painter } from '../human/style.ts';
import { sizeText } from '../human/units.ts';
import { writeList } from '../human/write-answer.ts';
import { reportError } from '../report-error.ts';
import { errorOfReport } from './report-error-of.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const inspect: Word = {
  name: 'inspect',
  summary: 'Show everything that is known of containers, and of their jobs.',
  details: [
    'A job that has ended is listed, with how it ended, until its result is taken: by warden logs -f HANDLE JOB, by link or by stream. At most the 1000 that were started last are.',
    'JSON has the names of ContainerReport of @warden/interface; 64-bit numbers are strings. Containers that are not there are told on standard error; the exit status is then 125.',
  ],
  operands: [{ name: 'HANDLE', kind: 'handle', isRest: true }],
  flags: [],
  examples: [
    ['warden inspect box', 'for people'],
    ["warden inspect box --json | jq '.[0].info.memoryStat'", 'for programs'],
  ],
  async run(given, context) {
    const handles = [...new Set(given.operands)];
    const reports = await (await context.connect()).infoMany({ handles });
    const found = reports.filter(({ info }) => info !== undefined);
    await writeList(context, found, () => linesOf(found, context.terminal));
    const failed = reports.filter(({ info }) => info === undefined);
    const json = context.format !== 'text';
    for (const report of failed)
      await reportError(errorOfReport(report), { ...context.options, json }, context.terminal);
    return failed.length === 0 ? 0 : 125;
  },
};

function linesOf(
  reports: readonly ContainerReport[],
  terminal: Parameters<typeof painter>[0],
): readonly string[] {
  const paint = painter(terminal);
  return reports.flatMap(({ handle, info }, at) => {
    const facts = factsOf(info!);
    const width = Math.max(...facts.map(([name]) => name.length)) + 2;
    return [
      ...(at === 0 ? [] : ['']),
      paint('strong', shown(handle)),
      ...facts.map(([name, value]) => `  ${name.padEnd(width)}${shown(value)}`),
    ];
  });
}

type Fact = readonly [name: string, value: string];
/** What drivers answer for "no limit". */
const NO_MEMORY_LIMIT = 2n ** 60n;
const NO_RATE = 4_294_967_295n;

function factsOf(info: ContainerInfo): readonly Fact[] {
  const { memoryStat, cpuStat, diskStat, bandwidthStat, pressureStat, properties = {} } = info;
  const limit = memoryStat?.hierarchical_memory_limit;
  return [
    ['state', info.paused === true ? `${info.state}, paused` : info.state],
    ...optional('events', info.events.join(', ')),
    ...optional('address', info.containerIp),
    ...optional('host address', info.hostIp),
    ...(info.ports ?? []).map(
      ({ hostPort, containerPort }): Fact => ['port', `${hostPort} -> ${containerPort}`],
    ),
    ...optional('directory', info.containerPath),
    ['running jobs', info.jobIds.length === 0 ? 'none' : info.jobIds.map((id) => `no. ${id}`).join(', ')],
    ...(info.endedJobs ?? []).map((job): Fact => ['ended job', endedJobText(job)]),
    ...optional('unsafe', info.unsafe?.join(', ')),
    ...size('memory', memoryStat?.total_rss ?? memoryStat?.rss),
    ...size('file cache', memoryStat?.total_cache ?? memoryStat?.cache),
    ...(limit === undefined || limit >= NO_MEMORY_LIMIT ? [] : size('memory limit', limit)),
    ...(cpuStat === undefined
      ? []
      : [['processor time', `${(Number(cpuStat.usage) / 1e9).toFixed(2)} s`] satisfies Fact]),
    ...size('disk', diskStat?.bytesUsed),
    ...(diskStat === undefined ? [] : [['inodes', String(diskStat.inodesUsed)] satisfies Fact]),
    ...rate('rate in', bandwidthStat?.inRate),
    ...rate('rate out', bandwidthStat?.outRate),
    ...Object.entries(pressureStat ?? {}).map(
      ([name, { some }]): Fact => [`${name} pressure`, `${some.avg10.toFixed(2)} % of the last 10 s`],
    ),
    ...Object.entries(properties).map(([name, value]): Fact => [`label`, `${name}=${value}`]),
  ];
}

function endedJobText({ id, exitStatus, verdict }: EndedJob): string {
  return `no. ${id}, ${endedText(verdict) ?? `exit status ${exitStatus}`}`;
}

function optional(name: string, value: string | undefined): readonly Fact[] {
  return value === undefined || value === '' ? [] : [[name, value]];
}

function size(name: string, bytes: bigint | undefined): readonly Fact[] {
  return bytes === undefined ? [] : [[name, sizeText(bytes)]];
}

function rate(name: string, bytes: bigint | undefined): readonly Fact[] {
  return bytes === undefined || bytes >= NO_RATE ? [] : [[name, `${sizeText(bytes)}/s`]];
}
