import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { configCommand } from './config-command.ts';
import { didYouMeanKey } from './suggest-key.ts';

describe('a key that is none', () => {
  it.each([
    ['netwrk', 'network'],
    ['server.container_depot_pth', 'server.container_depot_path'],
    ['network.deny_network', 'network.deny_networks'],
    ['server.quota.disk_quota_enable', 'server.quota.disk_quota_enabled'],
  ])('%s is told with the one that was meant', (key, meant) => {
    expect(didYouMeanKey(key)).toBe(`; did you mean '${meant}'?`);
  });

  it.each(['colour', 'server.colour', 'mtu', 'network'.repeat(1_000)])('%s is like none', (key) => {
    expect(didYouMeanKey(key)).toBe('');
  });

  it('has no effect in a file, which is good otherwise', async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-keys-'));
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    try {
      const file = path.join(directory, 'wardend.yml');
      fs.writeFileSync(file, 'server: {container_depot_pth: /x}\nextra: {}\n');
      expect(await configCommand(['check', '--config', file])).toBe(0);
      expect(write.mock.calls.join('')).toContain(
        "unknown: extra has no effect\nunknown: server.container_depot_pth has no effect; did you mean 'server.container_depot_path'?\n",
      );
    } finally {
      write.mockRestore();
      fs.rmSync(directory, { recursive: true });
    }
  });
});
