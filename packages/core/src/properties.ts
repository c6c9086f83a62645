/** Labels of containers: they mean nothing here, are recorded, and can be asked for. */
import { encodeBytes, PROPERTY_LIMITS, type Properties, WardenError } from '@warden/interface';
import type { ManagedContainer } from './container.ts';
import { dictionary } from './dictionary.ts';
import { type Engine, publish, saveRecord, trySave } from './engine.ts';

/** Errors: `INVALID_SPEC`. Answers a copy without a prototype, so that no name means anything to JavaScript. */
export function checkedProperties(properties: Properties): Properties {
  const { count, nameBytes, valueBytes, totalBytes } = PROPERTY_LIMITS;
  const entries = Object.entries(properties);
  if (entries.length > count)
    throw invalid(`a container has at most ${count} properties, not ${entries.length}`, '');
  let total = 0;
  for (const [name, value] of entries) {
    const shown = name.slice(0, 64);
    if (typeof value !== 'string') throw invalid(`the value of property ${shown} is no string`, shown);
    const [nameLength, valueLength] = [encodeBytes(name).length, encodeBytes(value).length];
    if (nameLength < 1 || nameLength > nameBytes)
      throw invalid(`a property's name has 1 to ${nameBytes} bytes, not ${nameLength}`, shown);
    if (valueLength > valueBytes)
      throw invalid(
        `the value of property ${shown} has ${valueLength} bytes, at most ${valueBytes} will do`,
        shown,
      );
    total += nameLength + valueLength;
  }
  if (total > totalBytes)
    throw invalid(`all properties together have ${total} bytes, at most ${totalBytes} will do`, '');
  return dictionary(entries);
}

/** Sets and removes, all or nothing. Errors: `INVALID_SPEC`, `NATIVE_FAILED`. */
export function changeProperties(
  engine: Engine,
  container: ManagedContainer,
  changes: Readonly<Record<string, string | undefined>>,
): Promise<Properties> {
  container.requireState('active', 'stopped');
  return container.exclusive(async () => {
    const { record } = container;
    const before = record.properties;
    const merged = new Map(Object.entries(before));
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) merged.delete(name);
      else merged.set(name, value);
    }
    const after = checkedProperties(dictionary([...merged]));
    if (Object.keys(changes).length === 0) return after;
    record.properties = after;
    try {
      saveRecord(engine, container);
    } catch (error) {
      record.properties = before;
      trySave(engine, container); // what was told as refused may have its place already
      throw error;
    }
    publish(engine, container, { type: 'properties' });
    return after;
  });
}

function invalid(text: string, object: string): WardenError {
  return new WardenError('INVALID_SPEC', text, { fields: { operation: 'properties', object } });
}
