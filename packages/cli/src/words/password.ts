/** A password: asked for on a terminal, without showing it, or the first line of the input. */
import readline from 'node:readline';
import { Writable } from 'node:stream';
import { CommandError } from '../command-error.ts';
import { shown } from '../human/shown.ts';
import { type Terminal, write } from '../terminal.ts';

/** Error: `CommandError` when there is none. */
export async function readPassword(terminal: Terminal, user: string): Promise<string> {
  const isTerminal = terminal.stdin.isTTY === true;
  if (isTerminal) await write(terminal.stderr, `password of ${shown(user)}: `);
  // the editor echoes into nothing
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const dialog = readline.createInterface({ input: terminal.stdin, output, terminal: isTerminal });
  const line = await new Promise<string | undefined>((resolve) => {
    dialog.once('line', resolve);
    dialog.once('SIGINT', () => dialog.close());
    dialog.once('close', () => resolve(undefined));
  });
  dialog.close();
  if (isTerminal) await write(terminal.stderr, '\n');
  if (line === undefined || line === '') throw new CommandError('a password is missing on standard input');
  return line;
}
