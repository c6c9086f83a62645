import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScriptedDaemon } from '../test/scripted-daemon.ts';
import { runProgram } from './main.ts';

let daemon: ScriptedDaemon;
beforeEach(async () => {
  daemon = await new ScriptedDaemon().start();
});
afterEach(() => daemon[Symbol.asyncDispose]());

/** The program on something that looks like a terminal. */
function startEditor(): {
  type(keys: string): void;
  until(text: string): Promise<void>;
  readonly status: Promise<number>;
} {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const output = Object.assign(new PassThrough(), { isTTY: true });
  let seen = '';
  let changed: () => void = () => undefined;
  output.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
    changed();
  });
  const env = { HOME: daemon.directory };
  const status = runProgram(['--socket', daemon.path], { stdin, stdout: output, stderr: output, env });
  return {
    status,
    type: (keys) => void stdin.write(keys),
    /** Waits for `text` in the output and forgets what came before it. */
    async until(text) {
      while (!seen.includes(text)) {
        await new Promise<void>((resolve) => {
          changed = resolve;
        });
      }
      seen = seen.slice(seen.indexOf(text) + text.length);
    },
  };
}

describe('the prompt on a terminal', () => {
  it('prompts with `warden> `, executes, completes and recalls lines [cli 2 interactive, 9]', async () => {
    const editor = startEditor();
    await editor.until('warden> ');
    editor.type('create --handle h1\r');
    await editor.until('handle : h1\n');
    await editor.until('warden> ');
    editor.type('inf\t');
    await editor.until('info ');
    editor.type('--handle h\t');
    await editor.until('h1 ');
    editor.type('\x15echo --message a\r');
    await editor.until('message : a\n');
    await editor.until('warden> ');
    editor.type('\x1b[A\r');
    await editor.until('message : a\n');
    editor.type('\x04');
    expect(await editor.status).toBe(0);
  });

  it('keeps output that does not end its line [cli 2]', async () => {
    const editor = startEditor();
    await editor.until('warden> ');
    editor.type('create --handle h\r');
    await editor.until('handle : h\n');
    editor.type('run --handle h --script "0 out "\r');
    await editor.until('out\n');
    await editor.until('warden> ');
    editor.type('\x04');
    expect(await editor.status).toBe(0);
  });

  it('connects again after the daemon was restarted, and sends what was not sent before [cli 6]', async () => {
    const editor = startEditor();
    await editor.until('warden> ');
    await daemon.stop();
    await daemon.start();
    // The program learns of the loss in a turn of its own.
    await new Promise((resolve) => setTimeout(resolve, 50));
    editor.type('create --handle h2\r');
    await editor.until('Reconnecting...\nhandle : h2\n');
    editor.type('\x04');
    expect(await editor.status).toBe(0);
    expect(daemon.requests).toHaveLength(1);
  });

  it('saves failed lines together with the next success [cli 9 Save]', async () => {
    const editor = startEditor();
    for (const line of ['nope', 'ping', 'nope2']) {
      await editor.until('warden> ');
      editor.type(`${line}\r`);
    }
    await editor.until('warden> ');
    editor.type('\x04');
    expect(await editor.status).toBe(0);
    const file = `${daemon.directory}/.warden-history`;
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(['nope', 'ping']);
  });

  it.each(['exit', ' quit', 'logout', 'EXIT'])('is left by %s', async (line) => {
    const editor = startEditor();
    await editor.until('warden> ');
    editor.type(`${line}\r`);
    expect(await editor.status).toBe(0);
  });

  it('says goodbye to Ctrl-C [cli 1.1 SIGINT]', async () => {
    const editor = startEditor();
    await editor.until('warden> ');
    editor.type('\x03');
    await editor.until('\n\nExiting...\n');
    expect(await editor.status).toBe(0);
  });
});
