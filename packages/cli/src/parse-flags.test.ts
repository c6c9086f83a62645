import { describe, expect, it } from 'vitest';
import { CommandError } from './command-error.ts';
import { COMMANDS } from './commands.ts';
import { parseFlags } from './parse-flags.ts';

const parse = (command: string, words: string[], isExtended = false): Record<string, unknown> =>
  parseFlags(COMMANDS.get(command)!.request, words, isExtended);

/** Class and text; what the fields tell besides is free. */
function refusal(command: string, words: string[]): readonly unknown[] {
  try {
    return [parse(command, words)];
  } catch (error) {
    return [(error as Error).constructor, (error as Error).message];
  }
}

describe('parseFlags', () => {
  it.each([
    ['list', [], {}],
    ['create', ['--handle', 'h', '--grace_time', '0x10'], { handle: 'h', grace_time: 16 }],
    ['create', ['--handle', 'a', '--handle', 'b'], { handle: 'b' }],
    ['stop', ['--kill', '--handle', 'h', '--background'], { handle: 'h', kill: true, background: true }],
    [
      'net_out',
      ['--handle', 'h', '--protocol', 'ICMP', '--icmp_type', '-1'],
      { handle: 'h', protocol: 2, icmp_type: -1 },
    ],
    ['net_out', ['--handle', 'h', '--protocol', 'udp'], { handle: 'h', protocol: 1 }],
    ['limit_memory', ['--handle', 'h', '--limit_in_bytes', '1_000'], { handle: 'h', limit_in_bytes: 1000n }],
    ['destroy', ['--handle', ''], { handle: '' }],
    ['destroy', ['--handle', '-x'], { handle: '-x' }],
    ['destroy', ['--handle', 'ab --help'], { handle: 'ab --help' }],
    ['spawn', ['--rlimits.nofile', '10', '--rlimits.as', '20'], { rlimits: { nofile: 10n, as: 20n } }],
    [
      'create',
      [
        '--bind_mounts[0].src_path',
        '/a',
        '--bind_mounts[0].dst_path',
        '/b',
        '--bind_mounts[0].mode',
        'RO',
        '--bind_mounts[1].src_path',
        '/c',
        '--bind_mounts[1].mode',
        'RW',
      ],
      {
        bind_mounts: [
          { src_path: '/a', dst_path: '/b', mode: 0 },
          { src_path: '/c', mode: 1 },
        ],
      },
    ],
    ['destroy', ['--handle ignored', 'h'], { handle: 'h' }],
    ['create', ['--handle', ' --x'], { handle: ' --x' }],
    [
      'create',
      ['--bind_mounts[0].mode', 'ro', '--bind_mounts[0].mode', 'rw', '--bind_mounts[1].src_path', '/a'],
      { bind_mounts: [{ mode: 1 }, { src_path: '/a' }] },
    ],
  ])('understands %s %j [cli 3, 3.1]', (command, words, message) => {
    expect(parse(command, words)).toEqual(message);
  });

  it('passes scripts on as bytes [cli 3.1 string]', () => {
    const { script } = parse('run', ['--script', 'a\udcff']);
    expect(Buffer.from(script as Uint8Array)).toEqual(Buffer.from([0x61, 0xff]));
  });

  it.each([
    ['create', ['handle'], "Invalid flag: 'handle'."],
    ['create', ['help'], "Invalid flag: 'help'."],
    ['create', ['--'], "Invalid flag: '--'."],
    ['create', ['--handle'], "Invalid flag: '--handle'."],
    ['create', ['--handle', '--grace_time'], "Invalid flag: '--handle'."],
    ['stop', ['--kill', 'true'], "Invalid flag: 'true'."],
    ['spawn', ['--rlimits', '1'], "Invalid flag: '--rlimits'."],
    ['create', ['--bind_mounts[0]', '1'], "Invalid flag: '--bind_mounts[0]'."],
    ['create', ['--handle..x', '1'], "In flag: '--handle..x', Invalid flag element: ''."],
    ['create', ['--1a', '1'], "In flag: '--1a', Invalid flag element: '1a'."],
    [
      'create',
      ['--bind_mounts[x].mode', 'RO'],
      "In flag: '--bind_mounts[x].mode', Invalid flag element: 'bind_mounts[x]'.",
    ],
    ['create', ['--nope', '1'], "In flag: '--nope', the field: 'nope' is invalid."],
    ['create', ['--Handle', '1'], "In flag: '--Handle', the field: 'Handle' is invalid."],
    ['create', ['--handle.x', '1'], "In flag: '--handle.x', the field: 'x' is invalid."],
    ['create', ['--handle[0]', '1'], "In flag: '--handle[0]', the field: 'handle[0]' is invalid."],
    [
      'create',
      ['--bind_mounts.mode', 'RO'],
      "In flag: '--bind_mounts.mode', the field: 'bind_mounts' is not indexed.",
    ],
    [
      'create',
      ['--bind_mounts[1].mode', 'RO'],
      "In flag: '--bind_mounts[1].mode', the field: 'bind_mounts[1]' is not indexed correctly.",
    ],
    ['create', ['--grace_time', 'soon'], 'invalid value for Integer(): "soon"'],
    ['create', ['--handle=x'], "In flag: '--handle=x', Invalid flag element: 'handle=x'."],
    ['create', ['--grace_time 5'], "Invalid flag: '--grace_time 5'."],
    [
      'create',
      ['--bind_mounts[0].mode.x', 'RO'],
      "In flag: '--bind_mounts[0].mode.x', the field: 'x' is invalid.",
    ],
    ['create', ['--grace-time', '1'], "In flag: '--grace-time', Invalid flag element: 'grace-time'."],
    ['stop', ['--no-kill'], "In flag: '--no-kill', Invalid flag element: 'no-kill'."],
  ])('refuses %s %j with the text of the contract [cli 3, 6]', (command, words, text) => {
    expect(refusal(command, words)).toEqual([CommandError, text]);
  });

  it.each([
    ['net_out', ['--protocol', 'SCTP'], "'SCTP' is not defined in the module: 'NetOutRequest.Protocol'."],
    [
      'net_out',
      ['--protocol', 'toString'],
      "'toString' is not defined in the module: 'NetOutRequest.Protocol'.",
    ],
    ['net_out', ['--protocol', '0'], "'0' is not defined in the module: 'NetOutRequest.Protocol'."],
    [
      'create',
      ['--bind_mounts[0].mode', ''],
      "'' is not defined in the module: 'CreateRequest.BindMount.Mode'.",
    ],
  ])('names the constant of %s %j that is not defined [cli 3.1 enum]', (command, words, text) => {
    expect(refusal(command, words)).toEqual([CommandError, `The constant: ${text}`]);
  });

  it.each([
    ['stop', ['--no-kill', '--no-background'], { kill: false, background: false }],
    ['link', ['--job-id', '3'], { job_id: 3 }],
    ['create', ['--bind-mounts[0].src-path=/a'], { bind_mounts: [{ src_path: '/a' }] }],
    ['create', ['--handle='], { handle: '' }],
  ])('understands %s %j when extended [cli 10]', (command, words, message) => {
    expect(parse(command, words, true)).toEqual(message);
  });

  it('reads the script from a file when extended, and says when it cannot [cli 10 @file]', () => {
    expect(parse('run', ['--script', '@/dev/null'], true).script).toHaveLength(0);
    expect(() => parse('run', ['--script', '@/nonexistent/file'], true)).toThrow(
      'cannot read the script /nonexistent/file: ENOENT',
    );
    expect(parse('run', ['--script', '@x']).script).toEqual(Buffer.from('@x'));
  });

  it('takes inline values when extended [cli 10 --flag=value]', () => {
    expect(parse('stop', ['--handle=--x', '--kill=false', '--background'], true)).toEqual({
      handle: '--x',
      kill: false,
      background: true,
    });
    expect(() => parse('stop', ['--kill=maybe'], true)).toThrow("Invalid flag: '--kill=maybe'.");
    expect(String(parse('echo', ['--message=a=b'], true).message)).toBe('a=b');
  });
});
