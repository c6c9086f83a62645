import { describe, expect, it } from 'vitest';
import { complete } from './complete.ts';

const handles = async (): Promise<string[]> => ['17jqe', '18abc'];

describe('complete', () => {
  it.each([
    ['li', ['limit_bandwidth ', 'limit_cpu ', 'limit_disk ', 'limit_memory ', 'link ', 'list '], 'li'],
    ['  he', ['help '], 'he'],
    ['destroy ', ['--handle ', '--help '], ''],
    ['run --p', ['--privileged '], '--p'],
    ['run --rlimits.no', ['--rlimits.nofile '], '--rlimits.no'],
    [
      'create --bind',
      ['--bind_mounts[0].src_path ', '--bind_mounts[0].dst_path ', '--bind_mounts[0].mode '],
      '--bind',
    ],
    ['net_out --protocol U', ['UDP '], 'U'],
    ['create --bind_mounts[0].mode ', ['RO ', 'RW '], ''],
    ['info --handle 17', ['17jqe '], '17'],
    ['create --handle 17', [], '17'],
    ['frob', [], 'frob'],
    ['LIST --h', ['--help '], '--h'],
    [
      'create --bind_mounts[0].mode RO --bind_mounts',
      ['0', '1'].flatMap((at) =>
        ['src_path', 'dst_path', 'mode'].map((name) => `--bind_mounts[${at}].${name} `),
      ),
      '--bind_mounts',
    ],
  ])(
    'offers for %j commands, flags, constants or handles, each with a blank [cli 9 Completion, Better]',
    async (line, candidates, word) => {
      expect(await complete(line, handles)).toEqual([candidates, word]);
    },
  );

  it('quotes a handle that is no plain word [cli 9 Better]', async () => {
    expect(await complete('info --handle ', async () => ["a b'c", 'plain'])).toEqual([
      ["'a b'\\''c' ", 'plain '],
      '',
    ]);
  });

  it('asks the daemon only where a handle is wanted [cli 9 Better]', async () => {
    let asked = 0;
    const list = async (): Promise<string[]> => {
      asked += 1;
      return [];
    };
    for (const line of ['', 'li', 'info --h', 'create --handle ', 'run --script '])
      await complete(line, list);
    expect(asked).toBe(0);
  });
});
