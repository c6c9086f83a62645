/** Help texts: of the program, of the prompt and of one command. */
import type { FieldDescriptor, MessageDescriptor } from '@warden/protocol';
import { type Command, listedCommands } from './commands.ts';
import { OPTIONS } from './options.ts';

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
    'Without a command the prompt is opened, which reads one command per line.',
    '',
    '[options] can be one of the following:',
    '',
    ...options,
    '',
    '[commands] can be one of the following, --help behind a command shows its flags:',
    ...commandTable(COMMAND_WIDTH),
    '',
    '',
  ].join('\n');
}

/** `help` as a command. */
export function promptHelp(): string {
  const width = Math.max(...listedCommands().map(([name]) => name.length)) + 2;
  return ['', ...commandTable(width), '', 'Use --help with each command for more information.', ''].join(
    '\n',
  );
}

function commandTable(width: number): string[] {
  return listedCommands().map(([name, description]) => `\t${name.padEnd(width)}${description}`);
}

/** `<command> --help`. */
export function commandHelp({ name, description, request }: Command): string {
  const head = `command: ${name}\ndescription: ${description}\n`;
  if (request.fields.length === 0) return head;
  return `${head}usage: ${name} [options]\n\n[options] can be one of the following:\n\n${fieldLines(request, '--', '\t').join('')}`;
}

function fieldLines(descriptor: MessageDescriptor, prefix: string, indent: string): string[] {
  const groups = ['required', 'repeated', 'optional'].map((label) =>
    descriptor.fields.filter((field) => field.label === label),
  );
  return groups
    .flat()
    .flatMap((field) => [
      `${indent}${fieldLine(field, prefix)}\n`,
      ...(field.message === undefined ? [] : fieldLines(field.message, '.', `${indent}\t`)),
    ]);
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
  if (field.enum !== undefined) return Object.keys(field.enum.values).sort().join(', ');
  return field.type === 'bytes' ? 'string' : field.type;
}
