/** The reference documents, made from the tables that the code works with; `scripts/write-docs.mjs` writes them. */
import type { KeyRule } from './config-schema.ts';

/** The text of `docs/configuration.md`. */
export function describeConfiguration(
  schema: Readonly<Record<string, Readonly<Record<string, KeyRule>>>>,
): string {
  const lines = [
    '# Configuration of wardend',
    '',
    'One YAML 1.1 file (`0777` is octal), given by `--config FILE`. Every section and key is optional. A section given replaces the',
    'defaults key by key. `wardend --check-config --config FILE` prints what is effective. Unknown keys are ignored with a warning;',
    'one that `--set` names is refused.',
    '',
    'This file is written by `node scripts/write-docs.mjs` from `packages/daemon/src/config-schema.ts`.',
  ];
  for (const [section, keys] of Object.entries(schema)) {
    lines.push('', `## ${section}`, '', '| key | value | default | meaning |', '|---|---|---|---|');
    for (const [key, rule] of Object.entries(keys)) lines.push(...rows(key, rule));
  }
  return `${lines.join('\n')}\n`;
}

function* rows(key: string, rule: KeyRule): Generator<string> {
  if (rule.type === 'section') {
    for (const [inner, innerRule] of Object.entries(rule.keys)) yield* rows(`${key}.${inner}`, innerRule);
    return;
  }
  yield `| \`${key}\` | ${kind(rule)}${rule.nullable ? ' or null' : ''} | ${fallback(rule)} | ${rule.about} |`;
}

function kind(rule: KeyRule): string {
  switch (rule.type) {
    case 'integer':
      return `integer ${rule.min} … ${rule.max}`;
    case 'string':
      if (rule.oneOf === undefined) return 'string';
      return [
        ...rule.oneOf.map((one) => `\`${one}\``),
        ...(rule.orModule ? ['[a module](writing-a-driver.md)'] : []),
      ].join(', ');
    case 'boolean':
      return 'boolean';
    case 'strings':
      return 'list of strings';
    case 'numbers':
      return `list of integers ${rule.min} … ${rule.max}`;
    case 'integers':
      return `map of integers: ${rule.keys.join(' ')}`;
    case 'section':
      return 'map';
  }
}

function fallback(rule: KeyRule): string {
  const value = 'fallback' in rule ? rule.fallback : undefined;
  if (value === undefined) return '';
  if (rule.type === 'integer' && rule.max === 0o777) return `\`0${Number(value).toString(8)}\``;
  return `\`${JSON.stringify(value)}\``;
}

/** The text of `docs/errors.md`. */
export function describeErrors(codes: Readonly<Record<string, string>>): string {
  const lines = [
    '# Error codes',
    '',
    'Every error of the API is a `WardenError` with a `code` of this closed list, `fields` with the facts (operation, object, errno …) and',
    'a `cause`. On the wire the code and the fields are JSON in `ErrorResponse.data`. Match the code, never the message.',
    '',
    '| code | meaning, and what to do |',
    '|---|---|',
    ...Object.entries(codes).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`),
  ];
  return `${lines.join('\n')}\n`;
}
