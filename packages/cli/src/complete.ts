/** Completion in the prompt: commands, flags, constants and handles. */
import type { FieldDescriptor, MessageDescriptor } from '@warden/protocol';
import { COMMANDS, type Command } from './commands.ts';

/** Asks the daemon for its containers. */
export type ListHandles = () => Promise<readonly string[]>;

/** Candidates for the last word of `line` (each with a blank behind it), and that word. */
export async function complete(line: string, listHandles: ListHandles): Promise<[string[], string]> {
  const words = line.trimStart().split(/\s+/);
  const current = words.pop() ?? '';
  const candidates = await candidatesFor(words, current, listHandles);
  return [candidates.filter((word) => word.startsWith(current)).map((word) => `${word} `), current];
}

async function candidatesFor(
  before: readonly string[],
  current: string,
  listHandles: ListHandles,
): Promise<readonly string[]> {
  const command = COMMANDS.get(before[0]?.toLowerCase() ?? '');
  if (command === undefined) return [...COMMANDS.keys(), 'help'];
  const previous = before.at(-1)!;
  if (previous === '--handle' && command.name !== 'create') return (await listHandles()).map(quoted);
  const constants = constantsFor(command, previous);
  if (constants !== undefined) return constants;
  if (current !== '' && !current.startsWith('-')) return [];
  return [...flagsOf(command.request, '--', before), '--help'];
}

function flagsOf(descriptor: MessageDescriptor, prefix: string, before: readonly string[]): string[] {
  return descriptor.fields.flatMap((field) => {
    const name = prefix + field.name;
    const flags = field.label === 'repeated' ? indexed(name, before) : [name];
    return flags.flatMap((flag) =>
      field.message === undefined ? [flag] : flagsOf(field.message, `${flag}.`, before),
    );
  });
}

/** The places of a list that a flag may name: the last element and the next one. */
function indexed(name: string, before: readonly string[]): string[] {
  const used = before
    .filter((word) => word.startsWith(`${name}[`))
    .map((word) => Number.parseInt(word.slice(name.length + 1), 10));
  const next = Math.max(-1, ...used) + 1;
  return next === 0 ? [`${name}[0]`] : [`${name}[${next - 1}]`, `${name}[${next}]`];
}

/** A handle as a word of a line: it may hold any bytes. */
function quoted(handle: string): string {
  return handle === '' || /[\s'"\\]/.test(handle) ? `'${handle.replaceAll("'", `'\\''`)}'` : handle;
}

/** Constants of the enum that `flag` takes. */
function constantsFor(command: Command, flag: string): string[] | undefined {
  let descriptor: MessageDescriptor | undefined = command.request;
  const names = flag
    .replace(/^--/, '')
    .replaceAll(/\[[0-9]+\]/g, '')
    .split('.');
  for (const [depth, name] of names.entries()) {
    const field: FieldDescriptor | undefined = descriptor?.fields.find((one) => one.name === name);
    if (depth === names.length - 1)
      return field?.enum === undefined ? undefined : Object.keys(field.enum.values);
    descriptor = field?.message;
  }
  return undefined;
}
