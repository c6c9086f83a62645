/** Splits a line of the prompt into words: quotes and backslashes as in a shell, nothing is expanded. */
import { CommandError } from './command-error.ts';

/** Characters that a backslash protects inside double quotes; before others it stays. */
const PROTECTED_IN_QUOTES = '$`"\\\n';

/** The words of `line`. Error: an unbalanced quote. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  while (at < line.length) {
    const char = line[at]!;
    if (char === ' ' || char === '\t' || char === '\n') {
      if (word !== undefined) words.push(word);
      word = undefined;
      at += 1;
    } else if (char === "'" || char === '"') {
      const quoted = char === "'" ? singleQuoted(line, at) : doubleQuoted(line, at);
      word = (word ?? '') + quoted.text;
      at = quoted.end;
    } else if (char === '\\' && at + 1 < line.length) {
      word = (word ?? '') + line[at + 1];
      at += 2;
    } else {
      word = (word ?? '') + char;
      at += 1;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

interface Quoted {
  readonly text: string;
  /** Index behind the closing quote. */
  readonly end: number;
}

function singleQuoted(line: string, start: number): Quoted {
  const close = line.indexOf("'", start + 1);
  if (close < 0) throw unmatched(line);
  return { text: line.slice(start + 1, close), end: close + 1 };
}

function doubleQuoted(line: string, start: number): Quoted {
  let text = '';
  for (let at = start + 1; at < line.length; at += 1) {
    const char = line[at]!;
    if (char === '"') return { text, end: at + 1 };
    const next = line[at + 1];
    if (char === '\\' && next !== undefined && PROTECTED_IN_QUOTES.includes(next)) {
      text += next;
      at += 1;
    } else {
      text += char;
    }
  }
  throw unmatched(line);
}

function unmatched(line: string): CommandError {
  return new CommandError(`Unmatched quote: ${inspect(line)}`);
}

/** `text` in double quotes, with quotes and backslashes escaped. */
export function inspect(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}
