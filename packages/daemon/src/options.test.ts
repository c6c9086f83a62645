import { describe, expect, it } from 'vitest';
import { configCommand } from './config-command.ts';
import { parseOptions } from './options.ts';

describe('words of wardend that are wrong', () => {
  it.each([
    ['--confg', "unknown option '--confg'; did you mean '--config'?"],
    ['--check_config', "unknown option '--check_config'; did you mean '--check-config'?"],
    ['--sokcet=/s', "unknown option '--sokcet'; did you mean '--socket'?"],
    ['--frobnicate', "unknown option '--frobnicate'"],
    ['-x', "unknown option '-x'"],
    ['clenup', "unexpected word 'clenup'; did you mean 'cleanup'?"],
    ['start', "unexpected word 'start'"],
  ])('%s is told what was probably meant', (word, message) => {
    expect(() => parseOptions([word])).toThrow(expect.objectContaining({ code: 'INVALID_SPEC', message }));
  });

  it('a command behind an option is told where it belongs', () => {
    expect(() => parseOptions(['--log-level', 'warn', 'config'])).toThrow(
      expect.objectContaining({
        message: "unexpected word 'config'; it has to stand before all options",
      }),
    );
  });

  it.each([
    [[], 'a command is missing; usage: wardend config check|show|schema [settings]'],
    [['chek'], "no such command: chek; there are check, show and schema; did you mean 'check'?"],
    [['check', '--jsn'], "unknown option '--jsn'; did you mean '--json'?"],
    [
      ['check', '--set', 'netwrk.mtu=1400'],
      "--set netwrk.mtu: there is no such key; did you mean 'network.mtu'?",
    ],
  ])('config %j is, too', async (words, message) => {
    const written: string[] = [];
    const { write } = process.stderr;
    process.stderr.write = (text) => written.push(String(text)) > 0;
    try {
      expect(await configCommand(words)).toBe(2);
    } finally {
      process.stderr.write = write;
    }
    expect(written.join('')).toBe(`wardend config: ${message} (INVALID_SPEC)\n`);
  });
});
