/**
 * A strict reader of OpenMetrics text, version 1.0.0: the grammar of the specification and the rules for each
 * type that ours uses. Whatever is not allowed throws with its line.
 */

/** A sample with the name it was written under. */
export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A family. */
export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly unit: string;
  readonly help: string;
  readonly samples: readonly ParsedSample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const NUMBER = '[+-]?(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Inf|NaN';
const METADATA = new RegExp(`^# (TYPE|UNIT|HELP) (${NAME}) (.*)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? (${NUMBER})$`);

/** What may stand behind a family's name, by type. */
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  histogram: ['_bucket', '_count', '_sum', '_created'],
  info: ['_info'],
};

/** Reads a whole answer. Throws at the first thing that the format forbids. */
export function parseOpenMetrics(text: string): readonly ParsedFamily[] {
  if (!text.endsWith('# EOF\n')) throw new Error('the text does not end with # EOF and a line feed');
  if (text.includes('\r')) throw new Error('carriage return');
  const families = new Map<string, Open>();
  let current: Open | undefined;
  for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
    const metadata = METADATA.exec(line);
    if (metadata !== null) {
      const [, kind, name, value] = metadata as unknown as [string, 'TYPE' | 'UNIT' | 'HELP', string, string];
      if (current?.name !== name) {
        if (families.has(name)) throw at(line, 'the family was left before');
        current = { name, samples: [] };
        families.set(name, current);
      }
      if (current.samples.length > 0) throw at(line, 'metadata behind samples');
      if (current[kind] !== undefined) throw at(line, 'metadata twice');
      current[kind] = value;
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) throw at(line, 'neither metadata nor a sample');
    if (current === undefined) throw at(line, 'a sample before any family');
    const [, name, labels = '', value] = sample as unknown as [string, string, string | undefined, string];
    const suffixes = SUFFIXES[current.TYPE ?? ''];
    if (suffixes === undefined) throw at(line, `a family of type ${current.TYPE}`);
    if (!suffixes.some((suffix) => name === `${current!.name}${suffix}`))
      throw at(line, `not a name of the family ${current.name}, a ${current.TYPE}`);
    current.samples.push({ name, labels: parseLabels(line, labels), value: toNumber(value) });
  }
  return [...families.values()].map(checkFamily);
}

interface Open {
  readonly name: string;
  TYPE?: string;
  UNIT?: string;
  HELP?: string;
  readonly samples: ParsedSample[];
}

function at(line: string, what: string): Error {
  return new Error(`${what}: ${line}`);
}

function parseLabels(line: string, text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(/([a-zA-Z0-9_]+)="((?:[^"\\\n]|\\.)*)"/g)) {
    if (name! in labels) throw at(line, 'a label twice');
    labels[name!] = value!.replace(/\\(.)/g, (_all, one: string) => (one === 'n' ? '\n' : one));
  }
  return labels;
}

function toNumber(text: string): number {
  if (/Inf$/.test(text)) return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(text);
}

function checkFamily({
  name,
  TYPE: type = 'unknown',
  UNIT: unit = '',
  HELP: help = '',
  samples,
}: Open): ParsedFamily {
  const fail = (what: string): never => {
    throw new Error(`${name}: ${what}`);
  };
  if (/_(total|created|bucket|count|sum|info)$/.test(name)) fail('a reserved suffix in the name of a family');
  if (unit !== '' && !name.endsWith(`_${unit}`)) fail(`the name does not end with its unit ${unit}`);
  if (help.replace(/\\[\\n"]/g, '').includes('\\')) fail('a bad escape in HELP');
  const seen = new Set<string>();
  for (const sample of samples) {
    const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (seen.has(key)) fail(`a sample twice: ${key}`);
    seen.add(key);
    if (type === 'counter' && !(sample.value >= 0)) fail('a counter below zero');
    if (type === 'info' && sample.value !== 1) fail('an info that is not 1');
  }
  if (type === 'histogram') checkHistograms(samples, fail);
  return { name, type, unit, help, samples };
}

/** Buckets of one histogram ascend, are cumulative and end with +Inf, which is the count. */
function checkHistograms(samples: readonly ParsedSample[], fail: (what: string) => never): void {
  const groups = new Map<string, ParsedSample[]>();
  for (const sample of samples) {
    const { le: _le, ...others } = sample.labels;
    const key = JSON.stringify(Object.entries(others).sort());
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  for (const [key, group] of groups) {
    const of = (suffix: string): ParsedSample[] => group.filter(({ name }) => name.endsWith(suffix));
    const buckets = of('_bucket');
    const [count] = of('_count');
    const [sum] = of('_sum');
    if (buckets.some(({ labels }) => labels.le === undefined)) fail('a bucket without le');
    if (buckets.some(({ labels: { le = '' } }) => le !== '+Inf' && !/[.e]/.test(le)))
      fail('a boundary that is not canonical');
    const bounds = buckets.map(({ labels }) => toNumber(labels.le!));
    if (bounds.at(-1) !== Number.POSITIVE_INFINITY) fail(`no bucket +Inf: ${key}`);
    if (bounds.some((bound, i) => i > 0 && bound <= bounds[i - 1]!)) fail('boundaries do not ascend');
    if (buckets.some(({ value }, i) => i > 0 && value < buckets[i - 1]!.value)) fail('buckets do not add up');
    if (count?.value !== buckets.at(-1)!.value) fail('the count is not that of +Inf');
    if (sum === undefined || sum.value < 0) fail('no sum');
  }
}
