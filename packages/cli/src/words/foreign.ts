/** Words that other programs, or other parts of this one, understand. */
import { runDaemonProgram } from '../doctor.ts';
import type { Flag, Word } from './word.ts';

const SETTINGS: readonly Flag[] = [
  { name: 'config', short: 'c', value: 'FILE', kind: 'file', text: "The daemon's configuration." },
  { name: 'set', value: 'KEY=VALUE', isMany: true, text: 'One key of it.' },
];
const JSON_FLAG: Flag = { name: 'json', text: 'For programs.' };

/** Runs `wardend WORD ...`, which knows drivers and settings. */
function ofDaemon(
  word: Omit<Word, 'isForeign' | 'run' | 'operands'> & Partial<Pick<Word, 'operands'>>,
): Word {
  return {
    operands: [],
    ...word,
    isForeign: true,
    run: (given, { terminal, options }) => {
      const own = options.json && !given.words.includes('--json') ? ['--json'] : [];
      return runDaemonProgram([...word.name.split(' '), ...given.words, ...own], terminal);
    },
  };
}

/** In the order of the help. */
export const FOREIGN_WORDS: readonly Word[] = [
  ofDaemon({
    name: 'cleanup',
    summary: 'Remove what a daemon that is gone has left on this host (wardend cleanup).',
    flags: [
      { name: 'dry-run', text: 'Only list it.' },
      { name: 'all', text: 'End living containers too, with their jobs.' },
      JSON_FLAG,
      ...SETTINGS,
    ],
    examples: [['warden cleanup --dry-run --all', 'what there is to remove']],
  }),
  ofDaemon({
    name: 'config',
    summary: "Check or show the daemon's configuration (wardend config).",
    operands: [{ name: 'ACTION', kind: 'plain', choices: ['check', 'show', 'schema'] }],
    flags: [JSON_FLAG, ...SETTINGS],
    examples: [
      [
        'warden config check --config /etc/warden/wardend.yml',
        'tells every mistake; 2 when a daemon would not start',
      ],
      ['warden config show', 'what is effective'],
    ],
  }),
  ofDaemon({
    name: 'doctor',
    summary: 'Show what this host has, which drivers work, and what to do for better ones (wardend doctor).',
    flags: [JSON_FLAG, ...SETTINGS],
    examples: [['warden doctor', 'needs no daemon']],
  }),
  {
    name: 'rootfs',
    summary: 'Build a Debian root file system for containers on this host; needs root and debootstrap.',
    operands: [
      { name: 'ACTION', kind: 'plain', choices: ['build'] },
      { name: 'DIR', kind: 'file', isOptional: true },
    ],
    flags: [
      { name: 'config', value: 'FILE', kind: 'file', text: "Build where a daemon's configuration says." },
      { name: 'suite', value: 'SUITE', text: 'Release; by default that of this host.' },
      { name: 'mirror', value: 'URL', text: 'Archive to take it from.' },
      { name: 'mirror-from-host', text: "Only from this host's apt sources." },
      { name: 'include', value: 'A,B', text: 'Packages besides the required ones.' },
      { name: 'force', text: 'Replace an existing directory without asking.' },
      JSON_FLAG,
    ],
    examples: [['warden rootfs build /srv/rootfs', 'a minimal Debian']],
    isForeign: true,
    run: async (given, { terminal, options }) => {
      // with its reader of configurations, which no other word needs, it takes as long to load as all of them together
      const { buildRootfs } = await import('../rootfs/command.ts');
      return buildRootfs({ ...options, command: ['rootfs', ...given.words] }, terminal);
    },
  },
];
