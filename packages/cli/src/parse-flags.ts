/**
 * Flags to a request message, led by the protocol's tables.
 *
 * `--outer.inner value`, `--list[0].field value`, `--bool`. Elements of a list come in order: an index is the
 * next one or the last one.
 */
import { readFileSync } from 'node:fs';
import { decodeBytes, encodeBytes, WardenError } from '@warden/interface';
import type { FieldDescriptor, MessageDescriptor } from '@warden/protocol';
import { CommandError } from './command-error.ts';
import { isIntegerType, parseInteger } from './integer.ts';

/** A message under construction, property names as on the wire. */
export type Message = Record<string, unknown>;

const ELEMENT = /^([a-z_]+[a-z0-9]*)(?:\[([0-9]+)\])?$/i;
const FLAG = /^--[^ \t\n\v\f\r]/;
const BLANK = /[ \t\n\v\f\r]/;

/**
 * Builds the request from the words behind the command's name. `isExtended`: see {@link CliOptions.extended}.
 */
export function parseFlags(
  request: MessageDescriptor,
  words: readonly string[],
  isExtended = false,
): Message {
  const message: Message = {};
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (!FLAG.test(word)) throw new CommandError(`Invalid flag: '${word}'.`);
    const [flag, inline] = isExtended ? splitInline(word) : [word.split(BLANK, 1)[0]!, undefined];
    const negated = isExtended && inline === undefined ? negatedField(request, flag) : undefined;
    if (negated !== undefined) {
      message[negated] = false;
      continue;
    }
    const slot = findSlot(request, message, flag, isExtended);
    const next = words[at + 1];
    if (inline !== undefined) {
      slot.set(convert(slot, inline, isExtended));
    } else if (slot.field.type === 'bool') {
      slot.set(true);
    } else if (next === undefined || FLAG.test(next)) {
      throw new CommandError(`Invalid flag: '${word}'.`);
    } else {
      slot.set(convert(slot, next, isExtended));
      at += 1;
    }
  }
  return message;
}

function splitInline(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word.split(BLANK, 1)[0]!, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** The bool field that `--no-<field>` sets to an explicit false. */
function negatedField(request: MessageDescriptor, flag: string): string | undefined {
  const name = /^--no[-_](.+)$/.exec(flag)?.[1]?.replaceAll('-', '_');
  return request.fields.find((field) => field.type === 'bool' && field.name === name)?.name;
}

interface Slot {
  /** As typed. */
  readonly flag: string;
  readonly field: FieldDescriptor;
  /** Messages on the way to the field, for the qualified name of its type. */
  readonly path: readonly string[];
  set(value: unknown): void;
}

/** Follows the flag's elements to the place of its value; messages on the way are made on demand. */
function findSlot(request: MessageDescriptor, root: Message, flag: string, isExtended: boolean): Slot {
  const written = flag.slice(2).split('.');
  const elements = isExtended ? written.map((element) => element.replaceAll('-', '_')) : written;
  const path: string[] = [];
  let descriptor: MessageDescriptor | undefined = request;
  let message = root;
  for (const [depth, element] of elements.entries()) {
    const { field, index } = resolveElement(descriptor, message, flag, element);
    if (descriptor !== undefined) path.push(descriptor.name);
    const isLast = depth === elements.length - 1;
    if (isLast) {
      if (field.message !== undefined) throw new CommandError(`Invalid flag: '${flag}'.`);
      return { flag, field, path, set: (value) => store(message, field, index, value) };
    }
    // Descending into a scalar leaves no descriptor: the next element is then an unknown field.
    descriptor = field.message;
    if (descriptor !== undefined) message = descend(message, field, index);
  }
  throw new CommandError(`Invalid flag: '${flag}'.`);
}

function resolveElement(
  descriptor: MessageDescriptor | undefined,
  message: Message,
  flag: string,
  element: string,
): { readonly field: FieldDescriptor; readonly index: number | undefined } {
  const match = ELEMENT.exec(element);
  if (match === null) throw new CommandError(`In flag: '${flag}', Invalid flag element: '${element}'.`);
  const field = descriptor?.fields.find((one) => one.name === match[1]);
  const index = match[2] === undefined ? undefined : Number(match[2]);
  const isRepeated = field?.label === 'repeated';
  if (field === undefined || (!isRepeated && index !== undefined)) {
    throw new CommandError(`In flag: '${flag}', the field: '${element}' is invalid.`);
  }
  if (isRepeated && index === undefined)
    throw new CommandError(`In flag: '${flag}', the field: '${element}' is not indexed.`);
  const length = isRepeated ? ((message[field.name] as unknown[] | undefined)?.length ?? 0) : 0;
  if (index !== undefined && index !== length && index !== length - 1) {
    throw new CommandError(`In flag: '${flag}', the field: '${element}' is not indexed correctly.`);
  }
  return { field, index };
}

function descend(message: Message, field: FieldDescriptor, index: number | undefined): Message {
  const holder = holderOf(message, field, index);
  const key = index ?? field.name;
  holder[key] ??= {};
  return holder[key] as Message;
}

function store(message: Message, field: FieldDescriptor, index: number | undefined, value: unknown): void {
  holderOf(message, field, index)[index ?? field.name] = value;
}

/** What holds a field's value: the message, or the field's list. */
function holderOf(
  message: Message,
  field: FieldDescriptor,
  index: number | undefined,
): Record<string | number, unknown> {
  if (index === undefined) return message;
  message[field.name] ??= [];
  return message[field.name] as unknown[] as unknown as Record<number, unknown>;
}

/** A word as the value of a field. */
function convert({ flag, field, path }: Slot, text: string, isExtended: boolean): unknown {
  if (isIntegerType(field.type)) {
    const value = parseInteger(text, field.type, flag);
    return field.type.endsWith('64') ? value : Number(value);
  }
  if (field.type === 'bool') return parseBool(field, text);
  if (field.enum !== undefined) return parseConstant({ flag, field, path }, text);
  const bytes =
    isExtended && field.name === 'script' && text.startsWith('@')
      ? readScript(text.slice(1))
      : encodeBytes(text);
  return field.type === 'bytes' ? bytes : decodeBytes(bytes);
}

function readScript(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new WardenError('INVALID_SPEC', `cannot read the script ${file}: ${errno}`, {
      cause,
      fields: { operation: 'open', object: file, errno },
    });
  }
}

function parseBool(field: FieldDescriptor, text: string): boolean {
  if (text !== 'true' && text !== 'false') throw new CommandError(`Invalid flag: '--${field.name}=${text}'.`);
  return text === 'true';
}

/** Names of constants are accepted in any case; the original crashed on lower case. */
function parseConstant({ flag, field, path }: Omit<Slot, 'set'>, text: string): number {
  const { name, values } = field.enum!;
  const constant = text.toUpperCase();
  const number = Object.hasOwn(values, constant) ? values[constant] : undefined;
  if (number === undefined)
    throw new CommandError(
      `The constant: '${text}' is not defined in the module: '${[...path, name].join('.')}'.`,
      { flag, advice: `${flag} takes one of ${constantNames(field).join(', ')}` },
    );
  return number;
}

/** The constants of an enum's field, in alphabetical order. */
export function constantNames(field: FieldDescriptor): readonly string[] {
  return Object.keys(field.enum?.values ?? {}).sort();
}
