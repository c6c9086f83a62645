/** Help texts: of the program, of the prompt and of one command. */
import type { FieldDescriptor, MessageDescriptor } from '@warden/protocol';
import { type Command, listedCommands } from './commands.ts';
import { OPTIONS } from './options.ts';
import { constantNames } from './parse-flags.ts';
import { wordList } from './words/help-text.ts';

/** Columns of an option with its argument. */
const OPTION_WIDTH = 28;
/** Columns of a command's name in the program's help. */
const COMMAND_WIDTH = 29;

/** `warden --help`. */
export function programHelp(): string {
  const options = OPTIONS.map(({ name, argument, text }) => {
    const words = argument === undefined ? `--${name}` : `--${name} ${argument}`;
    return `        ${words.padEnd(OPTION_WIDTH)} ${text}`;
  });
  return [
    'Usage: warden [options] -- [commands]',
    'Without a command the prompt is opened, which reads one command per line. Words for people, as warden ps, are listed at the end.',
    '',
    '[options] can be one of the following:',
    '',
    ...options,
    '',
    '[commands] can be one of the following, --help behind a command shows its flags:',
    ...commandTable(COMMAND_WIDTH).slice(0, -1),
    '',
    'Words for people stand without -- before them, --help behind one tells more (warden ps --help):',
    ...wordList().map(([name, summary]) => `\t${name.padEnd(COMMAND_WIDTH)}${summary}`),
    commandTable(COMMAND_WIDTH).at(-1)!,
    '',
    '',
  ].join('\n');
}

/** `help` as a command. `width`: columns of a name; by default the longest name and two blanks. */
export function promptHelp(width: number = longestName() + 2): string {
  return ['', ...commandTable(width), '', 'Use --help with each command for more information.', ''].join(
    '\n',
  );
}

function longestName(): number {
  return Math.max(...listedCommands().map(([name]) => name.length));
}

function commandTable(width: number): string[] {
  if (!Number.isInteger(width) || width < 0)
    throw new TypeError('command_list_width should be a non-negative Integer.');
  return listedCommands().map(([name, description]) => `\t${name.padEnd(width)}${description}`);
}

/** `<command> --help`. */
export function commandHelp({ name, description, request }: Command): string {
  const head = `command: ${name}\ndescription: ${description}\n`;
  if (request.fields.length === 0) return head;
  return `${head}usage: ${name} [options]\n\n[options] can be one of the following:\n\n${fieldLines(request, '--', '\t').join('')}`;
}

/** What a command cannot do without, in one line. */
export function commandUsage({ name, request }: Command): string {
  const required = request.fields.filter(({ label }) => label === 'required');
  const flags = required.map((field) =>
    field.type === 'bool' ? `--${field.name}` : `--${field.name} <${field.name}>`,
  );
  return [name, ...flags, ...(request.fields.length > required.length ? ['[options]'] : [])].join(' ');
}

function fieldLines(descriptor: MessageDescriptor, prefix: string, indent: string): string[] {
  const fields = inDefinitionOrder(descriptor);
  const groups = ['required', 'repeated', 'optional'].map((label) =>
    fields.filter((field) => field.label === label),
  );
  return groups
    .flat()
    .flatMap((field) => [
      `${indent}${fieldLine(field, prefix)}\n`,
      ...(field.message === undefined ? [] : fieldLines(field.message, '.', `${indent}\t`)),
    ]);
}

/** Fields that the original defines in another order than that of their numbers, which the codec's tables have. */
const DEFINED_FIRST: Readonly<Record<string, string>> = { NetInRequest: 'host_port' };

function inDefinitionOrder(descriptor: MessageDescriptor): readonly FieldDescriptor[] {
  const first = descriptor.fields.filter((field) => field.name === DEFINED_FIRST[descriptor.name]);
  return [...first, ...descriptor.fields.filter((field) => !first.includes(field))];
}

function fieldLine(field: FieldDescriptor, prefix: string): string {
  const flag = prefix + field.name;
  const hasValue = field.message === undefined && field.type !== 'bool';
  const value = hasValue ? ` <${field.name}> (${typeName(field)})` : '';
  if (field.label === 'repeated') return `${flag}[index]${value}  # array`;
  return field.label === 'required' ? `${flag}${value}  # required` : `[${flag}${value}]  # optional`;
}

/** Enums by their constants; byte strings are `string` on the wire. */
function typeName(field: FieldDescriptor): string {
  if (field.enum !== undefined) return constantNames(field).join(', ');
  return field.type === 'bytes' ? 'string' : field.type;
}
