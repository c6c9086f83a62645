import { describe, expect, it } from 'vitest';
import { COMMANDS } from './commands.ts';
import { formatAnswer, formatJson } from './format-answer.ts';

const format = (command: string, answer: Record<string, unknown>): string =>
  Buffer.from(formatAnswer(COMMANDS.get(command)!.response, answer)).toString('latin1');

describe('formatAnswer', () => {
  it('writes the link example of the contract', () => {
    const answer = {
      exit_status: 0,
      stdout: Buffer.from('hi\n'),
      stderr: Buffer.from(''),
      info: { state: 'active', events: [], host_ip: '10.254.0.1' },
    };
    expect(format('link', answer)).toBe(
      'exit_status : 0\nstdout : hi\n\nstderr : \ninfo.state : active\ninfo.host_ip : 10.254.0.1\n',
    );
  });

  it('flattens messages and lists in the order of the definition', () => {
    const answer = {
      job_ids: [1n, 300n],
      memory_stat: { rss: 2n, cache: 0n },
      state: 'stopped',
      events: ['out of memory'],
    };
    expect(format('info', answer)).toBe(
      'state : stopped\nevents[0] : out of memory\nmemory_stat.cache : 0\nmemory_stat.rss : 2\njob_ids[0] : 1\njob_ids[1] : 300\n',
    );
  });

  it('writes nothing for an empty answer, and bytes unchanged', () => {
    expect(format('ping', {})).toBe('');
    expect(format('list', { handles: [] })).toBe('');
    expect(format('list', { handles: ['a', '\udcff'] })).toBe('handles[0] : a\nhandles[1] : \xff\n');
    expect(format('echo', { message: Buffer.from([0xff, 0, 0xfe]) })).toBe('message : \xff\0\xfe\n');
  });
});

describe('formatJson', () => {
  it('loses neither bytes nor digits', () => {
    expect(
      formatJson({
        message: Buffer.from([0x61, 0xff]),
        n: 2n ** 63n,
        list: [1],
        plain: new Uint8Array([0x62]),
      }),
    ).toBe('{"message":"a\\udcff","n":"9223372036854775808","list":[1],"plain":"b"}\n');
  });
});
