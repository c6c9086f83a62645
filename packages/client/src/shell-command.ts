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
 * value inside quotes, a comment, backquotes or behind a here-document, or right behind `$` or a backslash,
 * where quoting would mean something else.
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
    command += wordOf(values[at]);
    scanner.readValue();
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

/**
 * Follows the shell's quoting as far as it takes to know where a value stands. When in doubt, it stands in
 * the wrong place.
 */
class Scanner {
  #quote: "'" | '"' | '`' | '#' | undefined;
  #isHereDocument = false;
  /** The last character was an unquoted `$`, or a backslash that quotes what follows. */
  #last: '$' | '\\' | undefined;
  #previous = '\n';

  get problem(): string | undefined {
    if (this.#last === '\\') return 'right behind a backslash';
    if (this.#quote === '#') return 'in a comment';
    if (this.#quote !== undefined) return `inside ${this.#quote} quotes`;
    if (this.#isHereDocument) return 'behind a here-document (<<)';
    return this.#last === '$' ? 'right behind $' : undefined;
  }

  readValue(): void {
    this.#last = undefined;
    this.#previous = 'x';
  }

  read(text: string): void {
    for (const character of text) this.#step(character);
  }

  #step(character: string): void {
    const previous = this.#previous;
    const last = this.#last;
    this.#previous = character;
    this.#last = undefined;
    if (this.#quote === "'") {
      if (character === "'") this.#quote = undefined;
    } else if (this.#quote === '#') {
      if (character === '\n') this.#quote = undefined;
    } else if (last === '\\') {
      this.#previous = 'x'; // quoted: whatever it is, it is part of a word
    } else if (character === '\\') {
      this.#last = '\\';
    } else if (this.#quote !== undefined) {
      if (character === this.#quote) this.#quote = undefined;
    } else {
      this.#stepOutside(character, previous);
    }
  }

  #stepOutside(character: string, previous: string): void {
    if (character === "'" || character === '"' || character === '`') this.#quote = character;
    else if (character === '#' && /[\s;&|()<>]/.test(previous)) this.#quote = '#';
    else if (character === '$') this.#last = '$';
    else if (character === '<' && previous === '<') this.#isHereDocument = true;
  }
}
