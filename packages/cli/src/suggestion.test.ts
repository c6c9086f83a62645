import { isWardenError } from '@warden/interface';
import { describe, expect, it } from 'vitest';
import { CommandError } from './command-error.ts';
import { withPromptSuggestion, withSuggestion } from './suggestion.ts';

const textOfUnknown = (name: string): string => `Command: '${name}' is non-existent.`;
const textOf = (error: unknown): string => (isWardenError(error) ? error.message : String(error));
/** What is said of a line that begins with no command. */
function toldOf(line: string, suggest: typeof withSuggestion): string {
  const words = line.split(' ');
  return textOf(suggest(new CommandError(textOfUnknown(words[0]!)), words));
}

describe('a command without -- before it', () => {
  it.each([
    ['rm box', "; did you mean 'destroy --handle'?"],
    ['images', "; did you mean 'image ls'?"],
    ['version', "; did you mean '--version'?"],
    ['pss', "; did you mean 'ps'?"],
    ['somethingelse', '\nSee: warden --help'],
  ])('%j is told what it is called here', (line, more) => {
    expect(toldOf(line, withSuggestion)).toBe(textOfUnknown(line.split(' ')[0]!) + more);
  });

  it.each([
    ['destroy box', "Invalid flag: 'box'.", "; did you mean '--handle box'?"],
    [
      'create --grace_time 5 box',
      "Invalid flag: 'box'.",
      '\nUsage: warden create [options]\nSee: warden create --help',
    ],
    ['echo hi', "Invalid flag: 'hi'.", '\nUsage: warden echo --message <message>\nSee: warden echo --help'],
    [
      'destroy --handle',
      "Invalid flag: '--handle'.",
      '; --handle needs a value\nUsage: warden destroy --handle <handle>\nSee: warden destroy --help',
    ],
    [
      'link --handle --job_id 1',
      "Invalid flag: '--handle'.",
      '; --handle needs a value\nUsage: warden link --handle <handle> --job_id <job_id>\nSee: warden link --help',
    ],
    [
      'create --bind_mounts.src_path /a',
      "In flag: '--bind_mounts.src_path', the field: 'bind_mounts' is not indexed.",
      '; write --bind_mounts[0]\nUsage: warden create [options]\nSee: warden create --help',
    ],
    ['create --bind_mounts', "Invalid flag: '--bind_mounts'.", ''],
    ['ping box', "Invalid flag: 'box'.", '\nUsage: warden ping\nSee: warden ping --help'],
    [
      'limit_memory --limit-in-bytes 1',
      "In flag: '--limit-in-bytes', Invalid flag element: 'limit-in-bytes'.",
      "; did you mean '--limit_in_bytes'?",
    ],
    ['limit_memory --limit_in_bytes 64m', 'invalid value for Integer(): "64m"', "; did you mean '67108864'?"],
    ['limit_memory --limit_in_bytes much', 'invalid value for Integer(): "much"', ''],
  ])('%j is told how it is written', (line, text, more) => {
    expect(textOf(withSuggestion(new CommandError(text), line.split(' ')))).toBe(text + more);
  });

  it('leaves other errors as they are', () => {
    const error = new Error('x');
    expect(withSuggestion(error, ['destroy', 'box'])).toBe(error);
    expect(withPromptSuggestion(error, ['ps'])).toBe(error);
  });
});

describe('a line that was typed at the prompt', () => {
  it.each([
    ['ps', '; ps is typed in a shell: warden ps --help'],
    ['exec -it box', '; exec is typed in a shell: warden exec --help'],
    ['image ls', '; image is typed in a shell: warden image --help'],
    ['warden ps', '; commands stand here by themselves: help lists them'],
    ['exit 3', '; by itself it leaves the prompt'],
    ['lsit', "; did you mean 'list'?"],
    ['somethingelse', '\nSee: help'],
  ])('%j is told where it belongs', (line, more) => {
    expect(toldOf(line, withPromptSuggestion)).toBe(textOfUnknown(line.split(' ')[0]!) + more);
  });

  it('tells the use of a command whose flags stand without their names', () => {
    expect(textOf(withPromptSuggestion(new CommandError("Invalid flag: 'hi'."), ['echo', 'hi']))).toBe(
      "Invalid flag: 'hi'.\nUsage: echo --message <message>\nSee: echo --help",
    );
  });

  it('tells the two meanings of run apart', () => {
    const wrong = new CommandError("In flag: '--rm', the field: 'rm' is invalid.");
    expect(textOf(withPromptSuggestion(wrong, ['run', '--rm', '--', 'id']))).toBe(
      `${wrong.message}; run as a word for people is typed in a shell: warden run --help`,
    );
    const flag = new CommandError("In flag: '--hanlde', the field: 'hanlde' is invalid.");
    expect(textOf(withPromptSuggestion(flag, ['info', '--hanlde', 'h']))).toBe(
      `${flag.message}; did you mean '--handle'?`,
    );
  });
});
