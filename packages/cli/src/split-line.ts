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
      const end = endOfRun(line, at, ORDINARY_END);
      word = (word ?? '') + line.slice(at, end);
      at = end;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** What ends a run of ordinary characters outside quotes, and inside double quotes. */
const ORDINARY_END = /[ \t\n'"\\]/g;
const QUOTED_END = /["\\]/g;

/** A long script is taken in runs: character by character it would be copied over and over. */
function endOfRun(line: string, at: number, end: RegExp): number {
  end.lastIndex = at + 1;
  return end.exec(line)?.index ?? line.length;
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
  for (let at = start + 1; at < line.length; ) {
    const char = line[at]!;
    if (char === '"') return { text, end: at + 1 };
    const next = line[at + 1];
    if (char === '\\' && next !== undefined && PROTECTED_IN_QUOTES.includes(next)) {
      text += next;
      at += 2;
    } else {
      const end = endOfRun(line, at, QUOTED_END);
      text += line.slice(at, end);
      at = end;
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
