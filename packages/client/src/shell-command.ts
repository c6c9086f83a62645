/**
 * Commands for a shell, put together without their parts being able to mean anything else than themselves.
 *
 * @example
 * const name = "it's; rm -rf /";
 * await box.run(sh`mkdir -- ${name} && ls -- ${[name, 'other']}`);
 */

/** A piece of shell text whose parts are quoted. Made by {@link sh}. */
export class ShellCommand {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text, for a POSIX shell. */
  toString(): string {
    return this.#text;
  }
}

/** What may stand in a command: lists become several words, commands stay what they are. */
export type ShellValue = string | number | bigint | ShellCommand | readonly ShellValue[];

/**
 * Quotes each value as one word of its own. The text around the values reaches the shell as it is written (``
 * \` `` and `\${` stand for `` ` `` and `${`). A value does not begin a new word: `--name=${x}` is one word.
 * A word that begins with `-` is still an option to the program; write `--` before it.
 *
 * Throws a `TypeError` for what cannot be quoted: a value that holds a NUL byte or is of another type, and a
 * value inside quotes, a comment, backquotes, braces of `${`, arithmetic or a subscript, behind a here-document,
 * or right behind `$` or a backslash, where quoting would mean something else.
 *
 * What a word means to the command that gets it is not a matter of quoting: `eval`, `let` and the numbers of
 * `[[ … -eq … ]]` are evaluated by bash, whatever they hold.
 */
export function sh(texts: TemplateStringsArray, ...values: readonly ShellValue[]): ShellCommand {
  if (!Array.isArray(texts?.raw))
    throw new TypeError('sh is the tag of a template, sh`…`; run takes a script as a text');
  let command = '';
  const scanner = new Scanner();
  for (const [at, raw] of texts.raw.entries()) {
    const text = raw.replaceAll(/\\(`|\$\{)/g, '$1');
    command += text;
    scanner.read(text);
    if (at >= values.length) continue;
    const problem = scanner.problem;
    if (problem !== undefined)
      throw new TypeError(
        `value ${at + 1} of the command stands ${problem}, where it cannot be quoted safely`,
      );
    const word = wordOf(values[at]);
    command += word;
    // also a command: it may end in a comment, or none of it be a word
    scanner.read(word);
  }
  return new ShellCommand(command);
}

/** One word for a POSIX shell. Throws a `TypeError` when it holds a NUL byte. */
export function shellQuote(text: string): string {
  if (text.includes('\0')) throw new TypeError('no word of a shell can hold a NUL byte');
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function wordOf(value: unknown): string {
  if (typeof value === 'string') return shellQuote(value);
  if (value instanceof ShellCommand) return value.toString();
  if (typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value)))
    return shellQuote(String(value));
  if (Array.isArray(value)) return value.map(wordOf).join(' ');
  throw new TypeError(
    `a command takes texts, numbers and lists of them, not ${value === null ? 'null' : typeof value}`,
  );
}

/** What a character may be part of, as a shell reads it. */
type Frame = "'" | "$'" | '"' | '`' | '#' | '(' | '((' | '${' | '[';

/** Where a value is no word of its own. */
const NO_PLACE: Readonly<Record<Exclude<Frame, '('>, string>> = {
  "'": "inside ' quotes",
  "$'": "inside $' quotes",
  '"': 'inside " quotes',
  '`': 'inside ` quotes',
  '#': 'in a comment',
  '((': 'inside an arithmetic expression',
  '${': 'inside braces',
  '[': 'inside brackets',
};

/**
 * Follows the shell's quoting as far as it takes to know where a value stands. When in doubt, it stands in
 * the wrong place.
 */
class Scanner {
  /** The innermost last. */
  readonly #frames: Frame[] = [];
  #isHereDocument = false;
  /** What is open cannot be told any more. */
  #isLost = false;
  /** The last character was an unquoted `$`, or a backslash that quotes what follows. */
  #last: '$' | '\\' | undefined;
  #previous = '\n';
  /** The letters right before. */
  #word = '';

  get problem(): string | undefined {
    if (this.#last === '\\') return 'right behind a backslash';
    const frame = this.#frames.find((one) => one !== '(');
    if (frame !== undefined) return NO_PLACE[frame as keyof typeof NO_PLACE];
    if (this.#isLost) return 'behind double quotes that hold quotes of another kind';
    if (this.#isHereDocument) return 'behind a here-document (<<)';
    return this.#last === '$' ? 'right behind $' : undefined;
  }

  read(text: string): void {
    for (const character of text) this.#step(character);
  }

  #step(character: string): void {
    const previous = this.#previous;
    const last = this.#last;
    const frame = this.#frames.at(-1);
    this.#previous = character;
    this.#last = undefined;
    if (frame === "'" || frame === '#') {
      if (character === (frame === '#' ? '\n' : frame)) this.#frames.pop();
    } else if (last === '\\') {
      // quoted: whatever it is, it is part of a word; behind a line that goes on, a comment may begin
      this.#previous = character === '\n' ? character : 'x';
    } else if (character === '\\') {
      this.#last = '\\';
    } else if (frame === "$'" || frame === '`') {
      if (character === frame.at(-1)) this.#frames.pop();
    } else if (frame === '"') {
      if (character === '"') this.#frames.pop();
      else this.#substitute(character, last);
    } else {
      this.#stepOutside(character, { previous, last, frame });
    }
  }

  #stepOutside(character: string, { previous, last, frame }: Place): void {
    this.#followWord(character);
    this.#isLost ||= this.#isIntricate(character, last, frame);
    if (character === "'") this.#frames.push(last === '$' ? "$'" : "'");
    else if (character === '"') this.#frames.push('"');
    else if (character === '#' && isAmongCommands(frame) && /[\s;&|()<>]/.test(previous))
      this.#frames.push('#');
    else if (character === '(') this.#frames.push(previous === '(' ? '((' : '(');
    else if (character === '[' && /\w/.test(previous)) this.#frames.push('[');
    else if (frame !== undefined && character === CLOSING[frame]) this.#frames.pop();
    else if (character === '<' && previous === '<') this.#isHereDocument = true;
    else this.#substitute(character, last);
  }

  /** What begins in double quotes, too. `$$` is a number. */
  #substitute(character: string, last: string | undefined): void {
    if (character === '`') this.#frames.push('`');
    else if (character === '$') this.#last = last === '$' ? undefined : '$';
    else if (last === '$' && character === '(') this.#frames.push('(');
    else if (last === '$' && character === '{') this.#frames.push('${');
    else if (last === '$' && character === '[') this.#frames.push('[');
  }

  /**
   * Shells differ in what quotes and brackets mean in arithmetic, and in the braces and brackets of what lies in
   * double quotes.
   */
  #isIntricate(character: string, last: string | undefined, frame: Frame | undefined): boolean {
    const isQuote = character === "'" || character === '"';
    if (frame === '((') return isQuote;
    const isPattern = frame === '${' || frame === '[';
    return isPattern && this.#isQuoted && (isQuote || (character === '(' && last !== '$'));
  }

  /** The brackets behind the patterns of a `case` have no beginning. */
  #followWord(character: string): void {
    const isLetter = /\w/.test(character);
    if (!isLetter && this.#word === 'case' && this.#isQuoted) this.#isLost = true;
    this.#word = isLetter ? this.#word + character : '';
  }

  get #isQuoted(): boolean {
    return this.#frames.includes('"');
  }
}

/** Where a character is met. */
interface Place {
  readonly previous: string;
  readonly last: string | undefined;
  readonly frame: Frame | undefined;
}

/** What ends what can hold anything. */
const CLOSING: Readonly<Partial<Record<Frame, string>>> = { '(': ')', '((': ')', '${': '}', '[': ']' };

function isAmongCommands(frame: Frame | undefined): boolean {
  return frame === undefined || frame === '(';
}
