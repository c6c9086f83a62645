/** Pressure stall information of a group (kernel: Documentation/accounting/psi.rst). */
import fs from 'node:fs';
import path from 'node:path';
import type { PressureLine, PressureStat, ResourcePressure } from '@warden/interface';
import { errnoOf, fileError, readControl } from '../kernel-file.ts';

const RESOURCES = ['cpu', 'memory', 'io'] as const;

/** Whether the kernel measures pressure per group: it can be off by its configuration or command line. */
export function measuresPressure(group: string): boolean {
  return fs.existsSync(path.join(group, 'memory.pressure'));
}

/** What is measured of each resource; one that the kernel does not measure is left out. Errors: `NATIVE_FAILED`. */
export function readPressure(group: string): PressureStat {
  const found = RESOURCES.map((name) => [name, readResource(group, `${name}.pressure`)] as const);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined));
}

function readResource(group: string, file: string): ResourcePressure | undefined {
  let text: string;
  try {
    text = readControl(group, file);
  } catch (cause) {
    // switched off by psi=0, or for this group by cgroup.pressure
    if (errnoOf(cause) === 'EOPNOTSUPP' || (errnoOf(cause) === 'ENOENT' && fs.existsSync(group)))
      return undefined;
    throw fileError('read pressure', group, cause);
  }
  const lines = new Map(text.split('\n').map(parseLine));
  const [some, full] = [lines.get('some'), lines.get('full')];
  return some && { some, ...(full && { full }) };
}

/** `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` */
function parseLine(line: string): readonly [string, PressureLine] {
  const [kind = '', ...words] = line.split(' ');
  const values = new Map(words.map((word) => word.split('=') as [string, string]));
  const share = (name: string): number => Number(values.get(name) ?? 0);
  return [
    kind,
    {
      avg10: share('avg10'),
      avg60: share('avg60'),
      avg300: share('avg300'),
      total: BigInt(values.get('total') ?? 0),
    },
  ];
}
