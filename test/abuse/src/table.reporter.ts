import fs from 'node:fs';
import path from 'node:path';
import type { Reporter } from 'vitest/node';
import { REPORTS, ROWS, type Row } from './report.ts';

/**
 * Ends a run of the abuse suite with its table. All rows go to `reports/abuse.md`; on the terminal cases that
 * came out the same way are counted by group, and those that are open somewhere, could not be tried or failed
 * stand by themselves.
 */
export default class Table implements Reporter {
  onInit(): void {
    fs.rmSync(ROWS, { recursive: true, force: true });
  }

  onTestRunEnd(): void {
    if (!fs.existsSync(ROWS)) return;
    const rows = fs
      .readdirSync(ROWS)
      .sort()
      .flatMap((name) => JSON.parse(fs.readFileSync(path.join(ROWS, name), 'utf8')) as Row[]);
    const text = [...totals(rows), '', ...markdown(rows), ''].join('\n');
    fs.writeFileSync(path.join(REPORTS, 'abuse.md'), `# What hostile code tried\n\n${text}`);
    const shown = rows.filter((row) => isWorthALine(row));
    const groups = byGroup(rows.filter((row) => !isWorthALine(row)));
    process.stdout.write(
      `\n${[...markdown([...groups, ...shown]), '', ...totals(rows), 'all rows: reports/abuse.md', ''].join('\n')}`,
    );
  }
}

function cells(row: Row): string[] {
  return [row.user, row.root, row.hostile, row.runc];
}

function isWorthALine(row: Row): boolean {
  return (
    !row.verdict.startsWith('held') ||
    cells(row).some((cell) => /^(open|inconclusive)/.test(cell.split(' / ')[0]!)) ||
    !row.name.includes('/')
  );
}

/** Groups whose members all were refused in every role. */
function byGroup(rows: readonly Row[]): Row[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = row.name.split('/')[0]!;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups].map(([key, members]) => {
    const most = (pick: (row: Row) => string): string => {
      const counts = new Map<string, number>();
      for (const member of members) {
        const first = pick(member).split(' ')[0]!;
        counts.set(first, (counts.get(first) ?? 0) + 1);
      }
      return [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
    };
    return {
      name: `${key}/* (${members.length})`,
      user: most((row) => row.user),
      root: most((row) => row.root),
      hostile: most((row) => row.hostile),
      runc: most((row) => row.runc.split(' / ')[1] ?? row.runc),
      verdict: 'held',
    };
  });
}

function markdown(rows: readonly Row[]): string[] {
  const head = ['case', 'user', 'root', 'hostile rootfs', 'runc (user / root)', 'verdict'];
  const lines = [head, head.map(() => '---'), ...rows.map((row) => [row.name, ...cells(row), row.verdict])];
  return lines.map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
}

function totals(rows: readonly Row[]): string[] {
  const run = (pick: (row: Row) => string): number =>
    rows.filter((row) => !/^(-|inconclusive.*)$/.test(pick(row))).length;
  const verdicts = new Map<string, number>();
  for (const row of rows) {
    const verdict = row.verdict.split(':')[0]!;
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
  }
  return [
    `cases tried: ${run((row) => row.user)} as user, ${run((row) => row.root)} as root, ${run((row) => row.hostile)} in a hostile root file system, ${run((row) => row.runc)} beside in runc; ` +
      [...verdicts].map(([verdict, count]) => `${count} ${verdict}`).join(', '),
  ];
}
