import { describe, expect, it } from 'vitest';
import { groupsForNested, resolvConf, withResolver } from './init-spec.ts';

const HOST_IP = '10.254.0.5';

describe('resolv.conf', () => {
  it.each([
    [
      'configured servers, one line each, whatever the host has [linux-container 5.4 a]',
      ['192.0.2.1', '2001:db8::1'],
      'nameserver 198.51.100.1\nsearch example\n',
      'nameserver 192.0.2.1\nnameserver 2001:db8::1\n',
    ],
    [
      'the host side of the link where the host has only itself [linux-container 5.4 b]',
      [],
      'nameserver 127.0.0.1\n',
      `nameserver ${HOST_IP}\n`,
    ],
    [
      'a copy of the host’s otherwise [linux-container 5.4 c]',
      [],
      'search example.com\noptions ndots:2\nnameserver 198.51.100.1\n',
      'search example.com\noptions ndots:2\nnameserver 198.51.100.1\n',
    ],
    [
      'a stub resolver replaced, the rest kept [linux-container 5.4 M]',
      [],
      '# stub\nnameserver 127.0.0.53\nnameserver ::1\noptions edns0 trust-ad\nsearch .\n',
      `# stub\noptions edns0 trust-ad\nsearch .\nnameserver ${HOST_IP}\n`,
    ],
    [
      'loopback servers left out where there are others [linux-container 5.4 M]',
      [],
      'nameserver 127.0.0.1\nnameserver 198.51.100.1\n',
      'nameserver 198.51.100.1\n',
    ],
    ['nothing where the host has nothing', [], '', ''],
    [
      'bytes that are no text, as they are',
      [],
      '# \udcff\nnameserver 198.51.100.1\n',
      '# \udcff\nnameserver 198.51.100.1\n',
    ],
  ])('is %s', (_title, servers, hostFile, expected) => {
    expect(resolvConf(servers, HOST_IP, hostFile)).toBe(expected);
  });
});

describe('resolv.conf of a container whose driver answers questions for names', () => {
  it.each([
    ['names the gateway where there is no server', '', `nameserver ${HOST_IP}\n`],
    [
      'names it where containers can reach none',
      'search example\nnameserver 2001:db8::1\n',
      `search example\nnameserver 2001:db8::1\nnameserver ${HOST_IP}\n`,
    ],
    ['stays as it is otherwise', 'nameserver 198.51.100.1\n', 'nameserver 198.51.100.1\n'],
  ])('%s', (_title, file, expected) => {
    expect(withResolver(file, HOST_IP)).toBe(expected);
    expect(withResolver(file, undefined)).toBe(file);
  });
});

describe('the groups for a nested warden', () => {
  it('are the container’s own by hierarchy [linux-container 22]', () => {
    expect(groupsForNested(['/sys/fs/cgroup/memory/warden/instance-0123456789a/tasks'])).toEqual([
      {
        source: '/sys/fs/cgroup/memory/warden/instance-0123456789a',
        target: '/tmp/warden/cgroup/memory',
        mode: 'rw',
      },
    ]);
  });
});
