/** Answers of words: a list, one thing, or an endless row. */
import { formatJson } from '../format-answer.ts';
import { write } from '../terminal.ts';
import type { WordContext } from '../words/word.ts';

/** A list: JSON as an array, or one element a line; text as `lines` gives it. */
export async function writeList(
  context: WordContext,
  values: readonly unknown[],
  lines: () => readonly string[],
): Promise<void> {
  const { terminal, format } = context;
  if (format === 'json') return write(terminal.stdout, formatJson(values));
  const texts = format === 'jsonl' ? values.map(formatJson) : lines().map((line) => `${line}\n`);
  return write(terminal.stdout, texts.join(''));
}

/** One thing. */
export async function writeOne(
  context: WordContext,
  value: unknown,
  lines: () => readonly string[],
): Promise<void> {
  const { terminal, format } = context;
  await write(
    terminal.stdout,
    format === 'text'
      ? lines()
          .map((line) => `${line}\n`)
          .join('')
      : formatJson(value),
  );
}

/** Talk: what is worth knowing but no answer. Silent where a program reads. */
export async function tell(context: WordContext, text: string): Promise<void> {
  if (context.format === 'text') await write(context.terminal.stderr, `${text}\n`);
}
