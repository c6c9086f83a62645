/** Tables for people. */
import { shown } from './shown.ts';
import type { Paint, Tone } from './style.ts';

/** What stands in a place of a table. */
export interface Cell {
  readonly text: string;
  readonly tone?: Tone | undefined;
}

/** A column. */
export interface Column {
  readonly title: string;
  readonly isNumber?: boolean;
}

const GAP = '  ';

/**
 * Lines of a table, with its titles first; at most `width` characters each. Texts are made harmless here, so
 * they may be anybody's.
 */
export function columns(
  head: readonly Column[],
  rows: readonly (readonly (Cell | string)[])[],
  { paint, width = Number.POSITIVE_INFINITY }: { readonly paint: Paint; readonly width?: number },
): readonly string[] {
  const cells = rows.map((row) => row.map((cell) => safe(typeof cell === 'string' ? { text: cell } : cell)));
  const titles = head.map(({ title }): Cell => ({ text: title, tone: 'strong' }));
  const all = [titles, ...cells];
  const widths = head.map((_, at) => Math.max(...all.map((row) => lengthOf(row[at]?.text ?? ''))));
  return all.map((row) => {
    let left = width;
    let line = '';
    for (const [at, { text, tone }] of row.entries()) {
      const isLast = at === row.length - 1;
      const padding = ' '.repeat(widths[at]! - lengthOf(text));
      const [before, after] = head[at]!.isNumber ? [padding, ''] : ['', isLast ? '' : padding];
      const piece = cut(`${at === 0 ? '' : GAP}${before}`, left);
      left -= lengthOf(piece);
      const shownText = cut(text, left);
      left -= lengthOf(shownText);
      const end = cut(after, left);
      left -= lengthOf(end);
      line += piece + paint(tone, shownText) + end;
    }
    return line;
  });
}

function safe({ text, tone }: Cell): Cell {
  return { text: shown(text), tone };
}

/** In characters as a terminal counts most of them. */
function lengthOf(text: string): number {
  return [...text].length;
}

function cut(text: string, length: number): string {
  return lengthOf(text) <= length ? text : [...text].slice(0, Math.max(0, length)).join('');
}
