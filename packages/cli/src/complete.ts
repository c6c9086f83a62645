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
  if (previous === '--handle' && command.name !== 'create') return listHandles();
  const constants = constantsFor(command, previous);
  if (constants !== undefined) return constants;
  return [...flagsOf(command.request, '--'), '--help'].filter(
    () => current === '' || current.startsWith('-'),
  );
}

function flagsOf(descriptor: MessageDescriptor, prefix: string): string[] {
  return descriptor.fields.flatMap((field) => {
    const flag = prefix + field.name + (field.label === 'repeated' ? '[0]' : '');
    return field.message === undefined ? [flag] : flagsOf(field.message, `${flag}.`);
  });
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
