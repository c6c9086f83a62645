/** `warden inspect`: everything about some containers. */
import type { WardenClient } from '@warden/client';
import {
  type ContainerInfo,
  type ContainerReport,
  type DiskLimitSpec,
  type EndedJob,
  isWardenError,
} from '@warden/interface';
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
    'A job that has ended is listed, with how it ended, until its result is taken: by warden logs HANDLE JOB, with -f or without, by link or by stream. At most the 1000 that were started last are.',
    'Limits of processors and disk are no part of the report, and so not of JSON: limit_cpu and limit_disk without values tell them.',
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
    const client = await context.connect();
    const reports = await client.infoMany({ handles });
    const found = reports.filter(({ info }) => info !== undefined);
    const limits = context.format === 'text' ? await limitsOf(found, client) : new Map();
    await writeList(context, found, () => linesOf(found, limits, context.terminal));
    const failed = reports.filter(({ info }) => info === undefined);
    const json = context.format !== 'text';
    for (const report of failed)
      await reportError(errorOfReport(report), { ...context.options, json }, context.terminal);
    return failed.length === 0 ? 0 : 125;
  },
};

/** Limits that are no part of a report. Absent: none is in force, or this backend has none. */
interface Limits {
  readonly shares?: bigint | undefined;
  readonly disk?: Required<DiskLimitSpec> | undefined;
}

/** Asks for them, by handle. */
async function limitsOf(
  reports: readonly ContainerReport[],
  client: WardenClient,
): Promise<ReadonlyMap<string, Limits>> {
  const asked = reports.map(async ({ handle }) => {
    const box = client.container(handle);
    const [shares, disk] = await Promise.all([told(box.limitCpu()), told(box.limitDisk({}))]);
    return [handle, { shares, disk }] as const;
  });
  return new Map(await Promise.all(asked));
}

/**
 * What a daemon has no limits of (an old one has no code for that), or cannot tell of a container that was
 * destroyed meanwhile, is left out.
 */
async function told<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    const isLeftOut = (['UNSUPPORTED', 'BAD_STATE', 'UNKNOWN_HANDLE', 'REMOTE'] as const).some((code) =>
      isWardenError(error, code),
    );
    if (isLeftOut) return undefined;
    throw error;
  }
}

function linesOf(
  reports: readonly ContainerReport[],
  limits: ReadonlyMap<string, Limits>,
  terminal: Parameters<typeof painter>[0],
): readonly string[] {
  const paint = painter(terminal);
  return reports.flatMap(({ handle, info }, at) => {
    const facts = factsOf(info!, limits.get(handle) ?? {});
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
/** Of a disk limit. */
const BLOCK_BYTES = 1024n;

function factsOf(info: ContainerInfo, { shares, disk }: Limits): readonly Fact[] {
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
    ...optional('processor shares', shares?.toString()),
    ...size('disk', diskStat?.bytesUsed),
    ...inForce(disk?.blockHard, (blocks) => ['disk limit', sizeText(blocks * BLOCK_BYTES)]),
    ...(diskStat === undefined ? [] : [['inodes', String(diskStat.inodesUsed)] satisfies Fact]),
    ...inForce(disk?.inodeHard, (inodes) => ['inode limit', String(inodes)]),
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

/** Of a disk 0 is no limit. */
function inForce(value: bigint | undefined, fact: (value: bigint) => Fact): readonly Fact[] {
  return value === undefined || value === 0n ? [] : [fact(value)];
}

function size(name: string, bytes: bigint | undefined): readonly Fact[] {
  return bytes === undefined ? [] : [[name, sizeText(bytes)]];
}

function rate(name: string, bytes: bigint | undefined): readonly Fact[] {
  return bytes === undefined || bytes >= NO_RATE ? [] : [[name, `${sizeText(bytes)}/s`]];
}
