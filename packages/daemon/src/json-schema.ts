/**
 * The configuration's schema for other programs: JSON Schema (2020-12), made from the table that the loader
 * checks with.
 */
import { type KeyRule, UNLIMITED_VALUE } from './config-schema.ts';

type Schema = Readonly<Record<string, unknown>>;

/**
 * What the table says about types, ranges, words and defaults. Unknown keys are allowed, as the loader allows
 * them; what only makes sense together (ranges of ports, networks) is left to `wardend config check`.
 */
export function configurationSchema(
  table: Readonly<Record<string, Readonly<Record<string, KeyRule>>>>,
): Schema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of wardend',
    description: 'Written by wardend config schema. The file is YAML 1.1: 0777 is octal.',
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(table).map(([name, keys]) => [
        name,
        { type: ['object', 'null'], properties: properties(keys) },
      ]),
    ),
  };
}

function properties(keys: Readonly<Record<string, KeyRule>>): Schema {
  return Object.fromEntries(Object.entries(keys).map(([key, rule]) => [key, property(rule)]));
}

function property(rule: KeyRule): Schema {
  const value = orNull(rule, schemaOf(rule));
  const fallback = 'fallback' in rule && rule.fallback !== undefined ? { default: rule.fallback } : {};
  return { ...value, description: rule.about, ...fallback };
}

function orNull({ nullable }: KeyRule, schema: Schema): Schema {
  if (!nullable) return schema;
  if ('type' in schema && !('enum' in schema)) return { ...schema, type: [schema.type, 'null'] };
  return { anyOf: [schema, { type: 'null' }] };
}

function schemaOf(rule: KeyRule): Schema {
  switch (rule.type) {
    case 'integer':
      return { type: 'integer', minimum: rule.min, maximum: rule.max };
    case 'string':
      if (rule.oneOf === undefined) return { type: 'string', minLength: 1 };
      // a module is any path, or the name of a package
      return rule.orModule
        ? { anyOf: [{ enum: rule.oneOf }, { type: 'string', minLength: 1 }] }
        : { enum: rule.oneOf };
    case 'boolean':
      return { type: 'boolean' };
    case 'strings':
      return { type: 'array', items: { type: 'string', minLength: 1 } };
    case 'numbers':
      return { type: 'array', items: { type: 'integer', minimum: rule.min, maximum: rule.max } };
    case 'integers': {
      // the largest is 2^64 - 1, which a JSON number of most programs cannot tell from 2^64
      const limit = { type: 'integer', minimum: -1, maximum: Number(UNLIMITED_VALUE) };
      return { type: 'object', properties: Object.fromEntries(rule.keys.map((key) => [key, limit])) };
    }
    case 'section':
      return { type: 'object', properties: properties(rule.keys) };
  }
}
