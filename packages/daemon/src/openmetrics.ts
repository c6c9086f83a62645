/**
 * Text of the OpenMetrics format, version 1.0.0. No library: the daemon needs to write a few dozen families
 * when somebody asks, and counts in plain numbers until then.
 */

/** One line: what is behind the family's name, labels, value. */
export interface Sample {
  /** `_total`, `_bucket`, `_count`, `_sum`, `_info`; nothing for gauges. */
  readonly suffix?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A family of samples. A `unit` is the last word of the name. */
export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'info';
  readonly unit?: 'seconds' | 'bytes';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** What the answer to a scrape is sent as. */
export const CONTENT_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/** The whole answer. Families without samples are left out. */
export function writeOpenMetrics(families: readonly Family[]): string {
  const lines: string[] = [];
  for (const { name, type, unit, help, samples } of families) {
    if (samples.length === 0) continue;
    lines.push(`# TYPE ${name} ${type}`);
    if (unit !== undefined) lines.push(`# UNIT ${name} ${unit}`);
    lines.push(`# HELP ${name} ${escaped(help)}`);
    for (const { suffix = '', labels = {}, value } of samples)
      lines.push(`${name}${suffix}${labelText(labels)} ${numberText(value)}`);
  }
  return `${lines.join('\n')}\n# EOF\n`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value); // NaN is written like this too
}

/** Counts of observations by size. Observing costs a comparison per boundary and no allocation. */
export class Histogram {
  readonly #boundaries: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** Ascending. */
  constructor(boundaries: readonly number[]) {
    this.#boundaries = boundaries;
    this.#counts = new Array<number>(boundaries.length + 1).fill(0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.#boundaries.length && value > this.#boundaries[at]!) at += 1;
    this.#counts[at]! += 1;
    this.#sum += value;
  }

  /** As samples of a family of type histogram. */
  samples(labels: Readonly<Record<string, string>> = {}): Sample[] {
    let count = 0;
    const buckets = this.#counts.map((own, at): Sample => {
      count += own;
      const boundary = this.#boundaries[at];
      const le = boundary === undefined ? '+Inf' : canonical(boundary);
      return { suffix: '_bucket', labels: { ...labels, le }, value: count };
    });
    return [
      ...buckets,
      { suffix: '_count', labels, value: count },
      { suffix: '_sum', labels, value: this.#sum },
    ];
  }
}

/** Boundaries are text for whoever compares them: whole numbers have a fraction. */
function canonical(boundary: number): string {
  return Number.isInteger(boundary) ? `${boundary}.0` : String(boundary);
}
