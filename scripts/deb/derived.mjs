// What is made from the programs themselves: the manual of the daemon from its help texts, completion for the
// shells from the command.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

/** Where each shell of Debian looks. */
const COMPLETIONS = {
  bash: 'usr/share/bash-completion/completions/warden',
  zsh: 'usr/share/zsh/vendor-completions/_warden',
  fish: 'usr/share/fish/vendor_completions.d/warden.fish',
};

/** The words of `wardend` that have a help text of their own. */
const PARTS = [
  { words: [], title: 'OPTIONS' },
  { words: ['config'], title: 'CONFIG' },
  { words: ['doctor'], title: 'DOCTOR' },
  { words: ['cleanup'], title: 'CLEANUP' },
];

function output(root, program, words) {
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [path.join(root, 'packages', program), ...words],
    {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', NO_COLOR: '1' },
    },
  );
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

/** By path to text. */
export function completions(root) {
  return Object.entries(COMPLETIONS).map(([shell, file]) => ({
    file,
    text: output(root, 'cli/bin/warden.js', ['completion', shell]),
  }));
}

/** Text as it is, for roff: neither a dash, nor a backslash, nor a dot at the beginning means anything. */
function verbatim(text) {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .replaceAll('\\', '\\e')
        .replaceAll('-', '\\-')
        .replace(/^([.'])/, '\\&$1'),
    );
  return `.nf\n${lines.join('\n')}\n.fi\n`;
}

/** wardend(8). */
export function daemonManual(root, version) {
  const parts = PARTS.map(
    ({ words, title }) =>
      `.SH ${title}\n${verbatim(output(root, 'daemon/bin/wardend.js', [...words, '--help']))}`,
  );
  return `.TH WARDEND 8 "" "warden ${version}" "warden manual"
.SH NAME
wardend \\- container daemon
.SH SYNOPSIS
.B wardend
.RI [ settings ]
.SH DESCRIPTION
Serves clients on a unix socket: containers, jobs in them, limits, ports. It may be ended and started again at any time; containers and jobs go on, and the next
daemon takes them over. SIGHUP reads the settings again, SIGUSR2 lets requests in progress come to their ends first.
${parts.join('')}.SH FILES
.TP
.I /etc/warden/wardend.yml
settings, where no other file is named
.TP
.I /run/warden/warden.sock
socket for clients, held by systemd
.TP
.I /usr/share/doc/warden
what the settings mean, and how the daemon is run
.SH SEE ALSO
.BR warden (1)
`;
}
