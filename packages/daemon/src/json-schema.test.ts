import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkConfiguration } from './config.ts';
import { SCHEMA } from './config-schema.ts';
import { parseYaml } from './config-yaml.ts';
import { configurationSchema } from './json-schema.ts';

type Schema = Readonly<Record<string, unknown>>;

/** The words of JSON Schema that ours uses; an unknown one fails, so that nothing is passed over. */
const RULES: Readonly<Record<string, (rule: never, value: unknown) => boolean>> = {
  $schema: () => true,
  title: () => true,
  description: () => true,
  default: () => true,
  type: (rule: string | readonly string[], value) => [rule].flat().some((one) => isOfType(one, value)),
  enum: (rule: readonly unknown[], value) => rule.includes(value),
  anyOf: (rule: readonly Schema[], value) => rule.some((one) => accepts(one, value)),
  minimum: (rule: number, value) => typeof value !== 'number' || value >= rule,
  maximum: (rule: number, value) => typeof value !== 'number' || value <= rule,
  minLength: (rule: number, value) => typeof value !== 'string' || value.length >= rule,
  items: (rule: Schema, value) => !Array.isArray(value) || value.every((item) => accepts(rule, item)),
  properties: (rule: Readonly<Record<string, Schema>>, value) =>
    !isOfType('object', value) ||
    Object.entries(value as object).every(([key, item]) => !(key in rule) || accepts(rule[key]!, item)),
};

function isOfType(type: string, value: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return (typeof value as string) === type;
}

function accepts(schema: Schema, value: unknown): boolean {
  return Object.entries(schema).every(([word, rule]) => {
    const check = RULES[word];
    if (check === undefined) throw new Error(`the test does not know ${word}`);
    return check(rule as never, value);
  });
}

const schema = configurationSchema(SCHEMA);
const isLoaded = (given: unknown): boolean => {
  try {
    checkConfiguration(given);
    return true;
  } catch {
    return false;
  }
};

describe('the JSON schema of the configuration', () => {
  it('names every section and key, with meaning and default [operations config schema]', () => {
    const sections = schema.properties as Record<string, { properties: Record<string, Schema> }>;
    expect(Object.keys(sections)).toEqual(Object.keys(SCHEMA));
    for (const [name, keys] of Object.entries(SCHEMA)) {
      for (const [key, rule] of Object.entries(keys)) {
        const property = sections[name]!.properties[key];
        expect(property).toMatchObject({ description: rule.about });
        expect(property?.default).toEqual('fallback' in rule ? rule.fallback : undefined);
      }
    }
  });

  it('takes the defaults, the sample of the original, and sections that are empty', () => {
    const sample = path.resolve(import.meta.dirname, '../test/original-sample.yml');
    for (const given of [
      checkConfiguration({}),
      parseYaml(fs.readFileSync(sample, 'utf8')).value,
      { server: null },
      { server: { foreign: 1 }, other: 1 },
    ]) {
      const { unknown, warnings, ...sections } = given as Record<string, unknown>;
      expect([accepts(schema, sections), unknown, warnings]).toEqual([true, unknown, warnings]);
    }
  });

  it.each([
    { server: [] },
    { server: { unix_domain_path: 1 } },
    { server: { unix_domain_path: '' } },
    { server: { unix_domain_path: null } },
    { server: { unix_domain_permissions: 0o1000 } },
    { server: { max_connections: 0 } },
    { server: { max_connections: 1.5 } },
    { server: { container_klass: 'Docker' } },
    { server: { allowed_uids: [-1] } },
    { server: { allowed_uids: 'root' } },
    { server: { container_rlimits: { nofile: 'many' } } },
    { server: { container_rlimits: { nofile: -2 } } },
    { server: { quota: { disk_quota_enabled: 'yes' } } },
    { server: { quota: 1 } },
    { logging: { level: 'loud' } },
    { network: { allow_networks: [1] } },
    { network: { allow_networks: 'all' } },
    { security: { seccomp: 1 } },
  ])('refuses %j, as the loader does [operations config schema]', (given) => {
    expect([accepts(schema, given), isLoaded(given)]).toEqual([false, false]);
  });

  it.each([
    { server: { allowed_uids: null } },
    { server: { container_grace_time: null } },
    { server: { container_rlimits: { nofile: -1, unknown: 1 } } },
    { drivers: { filesystem: './mine.mjs' } },
    { drivers: { filesystem: '@mine/driver' } },
    { health_check_server: { port: 0 } },
  ])('takes %j, as the loader does', (given) => {
    expect([accepts(schema, given), isLoaded(given)]).toEqual([true, true]);
  });
});
