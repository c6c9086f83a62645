import type { FieldDescriptor } from '@warden/protocol';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from './commands.ts';
import { formatAnswer, formatJson } from './format-answer.ts';

const format = (command: string, answer: Record<string, unknown>): string =>
  Buffer.from(formatAnswer(COMMANDS.get(command)!.response, answer)).toString('latin1');

describe('formatAnswer', () => {
  it('writes the link example of the contract [cli 5 Examples, Text values]', () => {
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

  it('flattens messages and lists in the order of the definition [cli 5 Nested, Repeated, Field order]', () => {
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

  it('writes nothing for an empty answer, and bytes unchanged [cli 5 Empty response]', () => {
    expect(format('ping', {})).toBe('');
    expect(format('list', { handles: [] })).toBe('');
    expect(format('list', { handles: ['a', '\udcff'] })).toBe('handles[0] : a\nhandles[1] : \xff\n');
    expect(format('echo', { message: Buffer.from([0xff, 0, 0xfe]) })).toBe('message : \xff\0\xfe\n');
  });
});

describe('formatAnswer of kinds that no answer has yet', () => {
  const text = (fields: readonly FieldDescriptor[], answer: Record<string, unknown>): string =>
    Buffer.from(formatAnswer({ name: 'Response', fields }, answer)).toString('latin1');
  const one = (
    name: string,
    type: FieldDescriptor['type'],
    more: Partial<FieldDescriptor> = {},
  ): FieldDescriptor => ({
    name,
    number: 1,
    label: 'optional',
    type,
    ...more,
  });
  const Colour = { name: 'Colour', values: { RED: 0, BLUE: 1 } };

  it('writes true, leaves false out, writes 0 and the empty string [cli 5 bool, Unset]', () => {
    const fields = [one('yes', 'bool'), one('no', 'bool'), one('zero', 'uint32'), one('blank', 'string')];
    expect(text(fields, { yes: true, no: false, zero: 0, blank: '' })).toBe(
      'yes : true\nzero : 0\nblank : \n',
    );
  });

  it('writes constants by their names, an unknown number as it is [cli 5 enum]', () => {
    expect(text([one('colour', 'enum', { enum: Colour })], { colour: 1 })).toBe('colour : BLUE\n');
    expect(text([one('colour', 'enum', { enum: Colour })], { colour: 7 })).toBe('colour : 7\n');
  });

  it('refuses a constant with two names with the text [cli 6 response enum not unique]', () => {
    const twice = { name: 'Colour', values: { RED: 0, CRIMSON: 0 } };
    expect(() => text([one('colour', 'enum', { enum: twice })], { colour: 0 })).toThrow(
      'Cannot serialize enum field: colour. Duplicate constants defined in module: Colour.',
    );
  });

  it('indexes repeated messages [cli 5 Repeated message]', () => {
    const Part = { name: 'Part', fields: [one('field', 'string')] };
    const fields = [one('list', 'message', { label: 'repeated', message: Part })];
    expect(text(fields, { list: [{ field: 'v' }, {}, { field: 'w' }] })).toBe(
      'list[0].field : v\nlist[2].field : w\n',
    );
  });
});

describe('formatJson', () => {
  it('loses neither bytes nor digits [cli 10 --json]', () => {
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
