/** The program in a real terminal. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { connect } from '@warden/client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PROGRAM } from './program.ts';
import { ScriptedDaemon } from './scripted-daemon.ts';
import { noTmux, Tmux } from './tmux.ts';

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

const warden = (words = ''): string =>
  `'${process.execPath}' '${PROGRAM}' --socket '${daemon.path}' ${words}`;
const terminal = (line: string, env: Record<string, string> = {}): Tmux =>
  new Tmux(daemon.directory, line, { HOME: daemon.directory, ...env });

const hasProgram = (name: string): boolean => spawnSync(name, ['--version']).error === undefined;
/** Beside bash: how one is started without files of its user, and what is read before the first Tab. */
const OTHER_SHELLS: readonly (readonly [shell: string, start: string, script: string])[] = [
  ['zsh', 'zsh -f -i', 'autoload -Uz compinit; compinit -u -D; eval "$(warden completion zsh)"\n'],
  [
    'fish',
    'fish --no-config -i',
    "set -g fish_autosuggestion_enabled 0; function fish_prompt; echo 'p> '; end; warden completion fish | source\n",
  ],
];

/** With a shell whose completion is tried. */
interface Dialogue {
  /** How it prompts once completion is there. */
  readonly prompt: string;
  /** What is seen when it can be typed to. */
  readonly first: RegExp;
  /** What is typed to have completion. */
  readonly load: string;
}

const suite = noTmux === undefined ? describe : describe.skip;
suite(`in a terminal${noTmux === undefined ? '' : ` [needs: ${noTmux}]`}`, { timeout: 120_000 }, () => {
  it('prompts with `warden> `, completes commands, flags and handles, and ends at Ctrl-D [cli 2 interactive, 9 Completion]', async () => {
    using tmux = terminal(warden());
    await tmux.until(/^warden>$/);
    tmux.type('cre');
    tmux.press('Tab');
    await tmux.until(/warden> create$/);
    tmux.type('--ha');
    tmux.press('Tab');
    await tmux.until(/create --handle$/);
    tmux.type('box-1');
    tmux.press('Enter');
    await tmux.until(/\nhandle : box-1\nwarden>$/);
    tmux.type('info --handle b');
    await tmux.pressUntil(['Tab'], /info --handle box-1$/);
    tmux.press('Enter');
    await tmux.until(/info --handle box-1 ?\nwarden>$/);
    tmux.press('C-d');
    await tmux.until(/\nstatus=0$/);
  });

  /** Tries completion in the shell that `start` starts. */
  async function completes(start: string, env: Record<string, string>, how: Dialogue): Promise<void> {
    const bin = path.join(daemon.directory, 'path');
    fs.mkdirSync(bin);
    fs.symlinkSync(PROGRAM, path.join(bin, 'warden'));
    const connection = await connect({ path: daemon.path });
    for (const handle of ['box-1', 'app:one', 'app:two', `$(touch ${bin}/taken)`])
      await connection.create({ handle });
    await connection.close();
    const { prompt, first, load } = how;
    using tmux = terminal(`exec ${start}`, {
      PATH: `${bin}:${path.dirname(process.execPath)}:${process.env.PATH}`,
      WARDEN_SOCKET: daemon.path,
      PS1: `${prompt} `,
      // a shell that is killed writes it while the directory is being removed
      HISTFILE: '',
      ...env,
    });
    await tmux.until(first);
    tmux.type(`${load}; clear; echo ready`);
    tmux.press('Enter');
    await tmux.until(new RegExp(`^ready\\n${prompt}$`));
    // again and again, as a person does: no completion waits longer than a second for the daemon
    tmux.type('warden attac');
    await tmux.pressUntil(['Tab'], new RegExp(`\\n${prompt} warden attach$`));
    tmux.type('bo');
    await tmux.pressUntil(['Tab'], new RegExp(`\\n${prompt} warden attach box-1$`));
    tmux.press('C-u');
    // as images have it: bash takes words apart there
    tmux.type('warden attach app:t');
    await tmux.pressUntil(['Tab'], new RegExp(`\\n${prompt} warden attach app:two$`));
    tmux.press('C-u');
    tmux.type('warden attach ');
    await tmux.pressUntil(['Tab', 'Tab'], /touch/);
    tmux.press('C-c');
    expect(fs.readdirSync(bin)).toEqual(['warden']);
  }

  it('completes words and handles in bash, and never lets it read a handle as a command', () =>
    completes(
      'bash --norc --noprofile -i',
      {},
      { prompt: 'b>', first: /^b>$/, load: 'eval "$(warden completion bash)"' },
    ));

  it.skip.each(OTHER_SHELLS.filter(([shell]) => !hasProgram(shell)))(
    'completes in %s [needs: the program]',
    () => {},
  );

  it.each(OTHER_SHELLS.filter(([shell]) => hasProgram(shell)))(
    'completes words and handles in %s, and never lets it read a handle as a command',
    async (shell, start, script) => {
      const file = path.join(daemon.directory, 'script');
      fs.writeFileSync(file, script);
      await completes(
        start,
        {
          SHELL_SCRIPT: file,
          ZDOTDIR: daemon.directory,
          XDG_CONFIG_HOME: daemon.directory,
          XDG_DATA_HOME: daemon.directory,
          XDG_RUNTIME_DIR: daemon.directory, // fish leaves a directory in /tmp without
        },
        { prompt: 'p>', first: shell === 'zsh' ? /^p>$/m : /[>#]$/m, load: 'source $SHELL_SCRIPT' },
      );
    },
  );

  it('recalls lines of this run and of earlier ones by the up-arrow [cli 9]', async () => {
    fs.writeFileSync(path.join(daemon.directory, '.warden-history'), '["echo --message old"]');
    using tmux = terminal(warden());
    await tmux.until(/^warden>$/);
    tmux.press('Up');
    await tmux.until(/warden> echo --message old$/);
    tmux.type('er');
    tmux.press('Enter');
    await tmux.until(/message : older\nwarden>$/);
    tmux.press('Up', 'Up');
    await tmux.until(/warden> echo --message old$/);
    tmux.press('Down', 'Enter');
    await tmux.until(/(message : older\n[\s\S]*){2}warden>$/);
    const saved = fs.readFileSync(path.join(daemon.directory, '.warden-history'), 'utf8');
    expect(JSON.parse(saved)).toEqual(['echo --message old', 'echo --message older', 'echo --message older']);
  });

  it.each([
    ['at the prompt', ''],
    ['while a line is being typed', 'echo --mess'],
  ])('writes two blank lines and Exiting... at Ctrl-C %s [cli 1.1 SIGINT]', async (_when, typed) => {
    using tmux = terminal(warden());
    await tmux.until(/^warden>$/);
    tmux.type(typed);
    tmux.press('C-c');
    await tmux.until(/^warden>.*\n\nExiting\.\.\.\nstatus=0$/);
  });

  it('ends at Ctrl-C under a command that waits for its answer [cli 1.1 SIGINT]', async () => {
    daemon.silences = 1;
    using tmux = terminal(warden());
    await tmux.until(/^warden>$/);
    tmux.type('ping');
    tmux.press('Enter');
    await tmux.until(/ping$/);
    tmux.press('C-c');
    await tmux.until(/Exiting\.\.\.\nstatus=0$/);
  });

  it('asks for a password no longer than --timeout says', async () => {
    using tmux = terminal(warden('--timeout 0.5 image pull --user me registry.example/app'));
    await tmux.until(/^password of me: .*\nTIMEOUT: .*\nstatus=125$/s);
  });

  it('keeps a line that is being edited when the window changes its size [cli 2]', async () => {
    using tmux = terminal(warden());
    await tmux.until(/^warden>$/);
    const message = 'abcdefghij'.repeat(7);
    tmux.type(`echo --message ${message}`);
    await tmux.until(/ghij$/);
    tmux.resize(40, 20);
    tmux.type('end');
    await tmux.until(/ghijend$/);
    tmux.resize(120, 40);
    tmux.press('BSpace');
    await tmux.until(/ghijen$/);
    tmux.press('Enter');
    await tmux.until(new RegExp(`message : ${message}en\nwarden>$`));
  });

  it('draws its prompt on stderr when the answers go to a file [cli 2]', async () => {
    const file = path.join(daemon.directory, 'answers');
    using tmux = terminal(`${warden()} > '${file}'`);
    await tmux.until(/^warden>$/);
    tmux.type('echo --message kept');
    tmux.press('Enter');
    await tmux.until(/echo --message kept\nwarden>$/);
    tmux.press('C-d');
    await tmux.until(/status=0$/);
    expect(fs.readFileSync(file, 'utf8')).toBe('message : kept\n');
  });

  it('executes several lines that are pasted at once, one after another [cli 2]', async () => {
    using tmux = terminal(warden());
    await tmux.until(/^warden>$/);
    tmux.type('echo --message one\necho --message two\necho --message three\n');
    await tmux.until(/message : one\n[\s\S]*message : two\n[\s\S]*message : three\nwarden>$/);
  });

  it.runIf(process.getuid?.() === 0)(
    'lends the terminal to a shell and takes it back [cli 10 shell] [needs: root]',
    async () => {
      for (const name of ['bin', 'run']) fs.mkdirSync(path.join(daemon.directory, name));
      const script = '#!/bin/sh\necho ready; read line; echo "got $line"; stty raw -echo; exit 5\n';
      fs.writeFileSync(path.join(daemon.directory, 'bin/wsh'), script, { mode: 0o755 });
      fs.writeFileSync(path.join(daemon.directory, 'run/wshd.sock'), '');
      daemon.containerPath = daemon.directory;
      using tmux = terminal(warden());
      await tmux.until(/^warden>$/);
      tmux.type('shell --handle h');
      tmux.press('Enter');
      await tmux.until(/\nready$/);
      tmux.type('hello');
      tmux.press('Enter');
      await tmux.until(/hello\ngot hello\nwarden>$/);
      tmux.type('echo --mess');
      tmux.press('Tab');
      // what is read together with the key stands before what the key completes
      await tmux.until(/warden> echo --message$/);
      tmux.type('back');
      tmux.press('Enter');
      await tmux.until(/message : back\nwarden>$/);
      tmux.press('C-d');
      await tmux.until(/status=0$/);
    },
  );

  describe.runIf(process.getuid?.() === 0)('rootfs build [needs: root]', () => {
    const line = (): string =>
      `'${process.execPath}' '${PROGRAM}' rootfs build --suite s '${daemon.directory}/root'`;
    beforeEach(() => {
      fs.mkdirSync(path.join(daemon.directory, 'bin'));
      fs.mkdirSync(path.join(daemon.directory, 'root'));
      fs.writeFileSync(path.join(daemon.directory, 'root/mine'), '');
      const script = [
        '#!/bin/bash',
        'while [[ $1 == --* ]]; do shift; done',
        'mkdir -p "$2/etc/apt"',
        'printf "P: 1 4 DOWNDEBS\\nI: RETRIEVING\\nIA: bash\\nIF: Retrieving %%s\\n" >&3',
        'while [ ! -e "$(dirname "$0")/go" ]; do sleep 0.1; done',
      ];
      fs.writeFileSync(path.join(daemon.directory, 'bin/debootstrap'), script.join('\n'), { mode: 0o755 });
    });
    const env = (): Record<string, string> => ({ PATH: `${daemon.directory}/bin:${process.env.PATH}` });

    it('asks before it erases, and shows one line of progress [linux-container 23]', async () => {
      using tmux = terminal(line(), env());
      await tmux.until(/^Target directory already exists\. Erase it\?$/);
      tmux.type('yes');
      tmux.press('Enter');
      await tmux.until(/Erase it\? yes\nretrieving 25% {2}Retrieving bash$/);
      fs.writeFileSync(path.join(daemon.directory, 'bin/go'), '');
      await tmux.until(/Erase it\? yes\n\S+\/root is ready: s\nstatus=0$/);
      expect(fs.readdirSync(path.join(daemon.directory, 'root'))).toEqual(['etc']);
    });

    it.each([
      ['another answer', 'no', 'Enter'],
      ['an empty answer', '', 'Enter'],
      ['Ctrl-C', '', 'C-c'],
      ['Ctrl-D', '', 'C-d'],
    ])('aborts at %s and keeps the directory [linux-container 23]', async (_what, typed, key) => {
      using tmux = terminal(line(), env());
      await tmux.until(/^Target directory already exists\. Erase it\?$/);
      tmux.type(typed);
      tmux.press(key);
      await tmux.until(/Aborting\.\.\.\nstatus=1$/);
      expect(fs.readdirSync(path.join(daemon.directory, 'root'))).toEqual(['mine']);
    });

    it('aborts at Ctrl-C while it builds and keeps the directory [linux-container 23]', async () => {
      using tmux = terminal(`${line()} --force`, env());
      await tmux.until(/^retrieving 25%/);
      tmux.press('C-c');
      await tmux.until(/Aborting\.\.\.\nstatus=130$/);
      expect(fs.readdirSync(path.join(daemon.directory, 'root'))).toEqual(['mine']);
      expect(fs.readdirSync(daemon.directory).filter((name) => name.startsWith('.root'))).toEqual([]);
    });
  });
});
