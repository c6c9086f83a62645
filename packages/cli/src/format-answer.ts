/** Answers as lines `name : value`, byte for byte, or as JSON. */
import { decodeBytes, encodeBytes } from '@warden/interface';
import type { FieldDescriptor, MessageDescriptor } from '@warden/protocol';
import { CommandError } from './command-error.ts';
import type { Message } from './parse-flags.ts';

/**
 * One line per set field, in the order of the definition; absent, false and empty lists give none. Error: a
 * constant that has two names, since either would be a guess.
 */
export function formatAnswer(descriptor: MessageDescriptor, answer: Message): Uint8Array {
  const parts: Uint8Array[] = [];
  writeMessage(parts, descriptor, answer, '');
  return Buffer.concat(parts);
}

function writeMessage(
  parts: Uint8Array[],
  descriptor: MessageDescriptor,
  message: Message,
  prefix: string,
): void {
  for (const field of descriptor.fields) {
    const value = message[field.name];
    if (value === undefined || value === false) continue;
    const name = prefix + field.name;
    if (Array.isArray(value)) {
      for (const [index, element] of value.entries()) writeValue(parts, field, element, `${name}[${index}]`);
    } else {
      writeValue(parts, field, value, name);
    }
  }
}

function writeValue(parts: Uint8Array[], field: FieldDescriptor, value: unknown, name: string): void {
  if (field.message !== undefined) {
    writeMessage(parts, field.message, value as Message, `${name}.`);
    return;
  }
  const bytes = value instanceof Uint8Array ? value : encodeBytes(textOf(field, value));
  parts.push(encodeBytes(`${name} : `), bytes, encodeBytes('\n'));
}

function textOf(field: FieldDescriptor, value: unknown): string {
  if (field.enum === undefined) return String(value);
  const known = Object.entries(field.enum.values).filter(([, number]) => number === value);
  if (known.length > 1) {
    throw new CommandError(
      `Cannot serialize enum field: ${field.name}. Duplicate constants defined in module: ${field.enum.name}.`,
    );
  }
  // A number that a later daemon defines is shown as it is.
  return known[0]?.[0] ?? String(value);
}

/**
 * One line of JSON. Integers of 64 bits become decimal strings (a JavaScript number cannot hold them); bytes
 * become text, with each byte that is not UTF-8 as the escape of a lone surrogate (U+DC00 + byte), so nothing
 * is lost.
 */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, toJson)}\n`;
}

/**
 * Looks at the holder, since a Buffer has turned itself into an array by the time a replacer gets its value.
 */
function toJson(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const original = this[key];
  if (typeof original === 'bigint') return String(original);
  return original instanceof Uint8Array ? decodeBytes(original) : value;
}
