import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { inOwnNamespaces } from '../test/own-namespaces.ts';
import { interfaceIndex, NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from './netlink-socket.ts';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE_EXCL = 0x600;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;

function attribute(kind: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(kind, 2);
  value.copy(bytes, 4);
  return bytes;
}

function link(
  type: number,
  flags: number,
  sequence: number,
  index: number,
  attributes: readonly Buffer[] = [],
): Buffer {
  const body = Buffer.alloc(16); // struct ifinfomsg
  body.writeInt32LE(index, 4);
  const payload = Buffer.concat([body, ...attributes]);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + payload.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags | NLM_F_REQUEST, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, payload]);
}

/** A new link of a kind. */
function newLink(sequence: number, name: string, kind: string): Buffer {
  const info = attribute(IFLA_LINKINFO, attribute(1, Buffer.from(`${kind}\0`)));
  return link(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE_EXCL, sequence, 0, [
    attribute(IFLA_IFNAME, Buffer.from(`${name}\0`)),
    info,
  ]);
}

function linkNames(messages: readonly Buffer[]): string[] {
  return messages.map((bytes) => {
    for (let at = 32; at < bytes.length; at += (bytes.readUInt16LE(at) + 3) & ~3) {
      if (bytes.readUInt16LE(at + 2) === IFLA_IFNAME)
        return bytes.toString('latin1', at + 4, at + bytes.readUInt16LE(at) - 1);
    }
    return '?';
  });
}

const sockets: NetlinkSocket[] = [];
function own<T extends NetlinkSocket>(socket: T): T {
  sockets.push(socket);
  return socket;
}
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

function dump(socket: NetlinkSocket): string[] {
  const sequence = socket.nextSequence();
  return linkNames(socket.request(link(RTM_GETLINK, NLM_F_DUMP, sequence, 0), [sequence]));
}

describe('NetlinkSocket', () => {
  it('reads the links of its namespace', () => {
    const socket = own(NetlinkSocket.open(NETLINK_ROUTE));
    expect(dump(socket)).toContain('lo');
  });

  it('throws the first error with the number of its message, and works on', () => {
    const socket = own(NetlinkSocket.open(NETLINK_ROUTE));
    const sequence = socket.nextSequence();
    const request = link(RTM_GETLINK, NLM_F_ACK, sequence, 0x7fff_fff0);
    expect(() => socket.request(request, [sequence])).toThrow(
      expect.objectContaining({
        code: 'NATIVE_FAILED',
        message: expect.stringMatching(/^netlink route: No such device \(ENODEV\)/),
        fields: expect.objectContaining({ operation: 'netlink', object: 'route', errno: 'ENODEV', sequence }),
      }),
    );
    expect(dump(socket)).toContain('lo');
  });

  it('does the same on a thread', async () => {
    const socket = own(NetlinkSocket.open(NETLINK_ROUTE));
    const ask = (index: number): Promise<Buffer[]> => {
      const sequence = socket.nextSequence();
      return socket.requestOnThread(link(RTM_GETLINK, NLM_F_ACK, sequence, index), [sequence]);
    };
    expect(linkNames(await ask(1))).toEqual(['lo']);
    await expect(ask(0x7fff_fff0)).rejects.toMatchObject({
      code: 'NATIVE_FAILED',
      fields: { errno: 'ENODEV' },
    });
    expect(linkNames(await ask(1))).toEqual(['lo']);
    expect(dump(socket)).toContain('lo');
    socket.close();
    await expect(ask(1)).rejects.toThrow(TypeError);
  });

  it('treats wrong use as TypeError', () => {
    const socket = own(NetlinkSocket.open(NETLINK_ROUTE));
    const request = link(RTM_GETLINK, NLM_F_DUMP, 1, 0);
    expect(() => socket.request(request, [2])).toThrow(TypeError);
    expect(() => socket.request(request.subarray(0, 20), [1])).toThrow(TypeError);
    expect(() => socket.request(new Uint8Array(0), [])).toThrow(TypeError);
    expect(() => socket.request(request, 1 as never)).toThrow(TypeError);
    expect(() => NetlinkSocket.open(-1)).toThrow(TypeError);
    expect(() => NetlinkSocket.openInNewNamespace([])).toThrow(TypeError);
    socket.close();
    socket.close();
    expect(() => socket.request(request, [1])).toThrow(TypeError);
  });

  it('knows interfaces by name', () => {
    expect(interfaceIndex('lo')).toBe(1);
    expect(interfaceIndex('warden-none')).toBe(0);
    expect(() => interfaceIndex('x'.repeat(16))).toThrow(TypeError);
    expect(() => interfaceIndex('')).toThrow(TypeError);
  });
});

describe.runIf(inOwnNamespaces)('NetlinkSocket in a namespace of its own [needs: own namespaces]', () => {
  it('opens sockets in one fresh namespace, away from ours', () => {
    const [route, other, filter] = NetlinkSocket.openInNewNamespace([
      NETLINK_ROUTE,
      NETLINK_ROUTE,
      NETLINK_NETFILTER,
    ]);
    own(route!);
    own(other!);
    own(filter!);
    expect(dump(route!)).toEqual(['lo']);
    const sequence = route!.nextSequence();
    route!.request(newLink(sequence, 'wardentest0', 'bridge'), [sequence]);
    expect(dump(other!)).toEqual(['lo', 'wardentest0']);
    expect(interfaceIndex('wardentest0')).toBe(0);
    const ours = own(NetlinkSocket.open(NETLINK_ROUTE));
    expect(dump(ours)).not.toContain('wardentest0');
  });

  it('carries several messages and several acknowledgements', () => {
    const [socket] = NetlinkSocket.openInNewNamespace([NETLINK_ROUTE]);
    own(socket!);
    const numbers = [socket!.nextSequence(), socket!.nextSequence(), socket!.nextSequence()];
    const names = ['wardena', 'wardenb', 'wardenc'];
    const request = Buffer.concat(numbers.map((sequence, i) => newLink(sequence, names[i]!, 'bridge')));
    expect(socket!.request(request, numbers)).toEqual([]);
    expect(dump(socket!)).toEqual(['lo', ...names]);
  });

  it('reports the first of several errors; the messages around it were carried out', () => {
    const [socket] = NetlinkSocket.openInNewNamespace([NETLINK_ROUTE]);
    own(socket!);
    const numbers = [
      socket!.nextSequence(),
      socket!.nextSequence(),
      socket!.nextSequence(),
      socket!.nextSequence(),
    ];
    const request = Buffer.concat([
      newLink(numbers[0]!, 'wardena', 'bridge'),
      newLink(numbers[1]!, 'wardena', 'bridge'),
      newLink(numbers[2]!, 'wardenb', 'nosuchkind'),
      newLink(numbers[3]!, 'wardenc', 'bridge'),
    ]);
    expect(() => socket!.request(request, numbers)).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'EEXIST', sequence: numbers[1] }) }),
    );
    expect(dump(socket!)).toEqual(['lo', 'wardena', 'wardenc']);
  });

  it('gives the text of the extended acknowledgement', () => {
    const [socket] = NetlinkSocket.openInNewNamespace([NETLINK_ROUTE]);
    own(socket!);
    const sequence = socket!.nextSequence();
    expect(() => socket!.request(newLink(sequence, 'wardenb', 'nosuchkind'), [sequence])).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/^netlink route: .*\(EOPNOTSUPP\): Unknown device type$/),
        fields: expect.objectContaining({ errno: 'EOPNOTSUPP', detail: 'Unknown device type' }),
      }),
    );
  });

  it('collects a dump of many datagrams', () => {
    const [socket] = NetlinkSocket.openInNewNamespace([NETLINK_ROUTE]);
    own(socket!);
    const names = Array.from({ length: 120 }, (_, i) => `warden${i}`);
    for (const name of names) {
      const sequence = socket!.nextSequence();
      socket!.request(newLink(sequence, name, 'bridge'), [sequence]);
    }
    expect(dump(socket!)).toEqual(['lo', ...names]);
    const sequence = socket!.nextSequence();
    socket!.request(link(RTM_DELLINK, NLM_F_ACK, sequence, 2), [sequence]);
    expect(dump(socket!)).toHaveLength(120);
  });

  it('carries hundreds of acknowledgements in one request', () => {
    const [socket] = NetlinkSocket.openInNewNamespace([NETLINK_ROUTE]);
    own(socket!);
    const numbers = Array.from({ length: 3000 }, () => socket!.nextSequence());
    const request = Buffer.concat(numbers.map((sequence) => link(RTM_GETLINK, NLM_F_ACK, sequence, 1)));
    expect(socket!.request(request, numbers)).toHaveLength(3000);
  });

  it('says ENOBUFS when acknowledgements were lost, and works on', () => {
    const [socket] = NetlinkSocket.openInNewNamespace([NETLINK_ROUTE]);
    own(socket!);
    const numbers = Array.from({ length: 60_000 }, () => socket!.nextSequence());
    const request = Buffer.concat(numbers.map((sequence) => link(RTM_GETLINK, NLM_F_ACK, sequence, 1)));
    expect(() => socket!.request(request, numbers)).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'ENOBUFS' }) }),
    );
    expect(dump(socket!)).toEqual(['lo']);
  });

  it('leaks no descriptor', () => {
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 50; i++)
      for (const socket of NetlinkSocket.openInNewNamespace([0, 12])) socket.close();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    expect(() => NetlinkSocket.openInNewNamespace([NETLINK_ROUTE, 31])).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'EPROTONOSUPPORT' }) }),
    );
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
