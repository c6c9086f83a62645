/** Colours, where a terminal shows them and nobody minds (NO_COLOR, https://no-color.org). */
import type { Terminal } from '../terminal.ts';

/** What something is, rather than a colour. */
export type Tone = 'good' | 'warning' | 'bad' | 'quiet' | 'strong';

const CODES: Readonly<Record<Tone, number>> = { good: 32, warning: 33, bad: 31, quiet: 2, strong: 1 };

/** Writes `text` in a tone. */
export type Paint = (tone: Tone | undefined, text: string) => string;

/** For one of the terminal's streams. */
export function painter({ stdout, stderr, env }: Terminal, stream: 'stdout' | 'stderr' = 'stdout'): Paint {
  const isTerminal = (stream === 'stdout' ? stdout : stderr).isTTY === true;
  const isPlain = !isTerminal || (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
  return (tone, text) =>
    isPlain || tone === undefined || text === '' ? text : `\x1b[${CODES[tone]}m${text}\x1b[0m`;
}
