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
  ])('%j', async (line, candidates, word) => {
    expect(await complete(line, handles)).toEqual([candidates, word]);
  });
});
