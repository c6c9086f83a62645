/** `warden completion`: scripts that make a shell ask this program what may be typed next. */
import { write } from '../terminal.ts';
import { candidates } from './candidates.ts';
import { COMPLETION_SCRIPTS } from './completion-scripts.ts';
import type { Word } from './word.ts';

/** See the file's head. */
export const completion: Word = {
  name: 'completion',
  summary: 'Write a script for a shell that completes words, flags, handles and images.',
  details: [
    'The script asks this program at each Tab, so that it never grows old; names of containers and images come from the daemon, if one answers within a second.',
  ],
  operands: [
    { name: 'SHELL', kind: 'plain', choices: ['bash', 'zsh', 'fish', 'candidates'] },
    { name: 'WORD', kind: 'plain', isOptional: true, isRest: true },
  ],
  flags: [],
  examples: [
    ['eval "$(warden completion bash)"', 'in ~/.bashrc'],
    ['eval "$(warden completion zsh)"', 'in ~/.zshrc, behind compinit'],
    ['warden completion fish > ~/.config/fish/completions/warden.fish', 'for fish'],
    [
      'warden completion candidates -- exec ""',
      'what the scripts ask: one candidate a line, then a tab and what it is',
    ],
  ],
  async run(given, context) {
    const [shell, ...typed] = given.operands as [string, ...string[]];
    const { terminal } = context;
    if (shell !== 'candidates') {
      await write(terminal.stdout, COMPLETION_SCRIPTS[shell as keyof typeof COMPLETION_SCRIPTS]);
      return 0;
    }
    const lines = (await candidates(typed, context.connect)).map(({ text, what }) => `${text}\t${what}\n`);
    await write(terminal.stdout, lines.join(''));
    return 0;
  },
};
