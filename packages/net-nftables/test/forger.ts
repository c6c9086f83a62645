/** Packets that no honest program sends, written byte by byte onto a link, and counters of what arrives elsewhere. */
import type { TestNamespace } from './test-namespace.ts';

/** What the scripts of {@link forge} start with. */
const PREAMBLE = `
import socket, struct, sys, time
link, gateway_mac = sys.argv[1], bytes.fromhex(sys.argv[2].replace(':', ''))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); wire.bind((link, 0))
own_mac = wire.getsockname()[4]
def total(b):
    if len(b) % 2: b += b'\\0'
    t = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    while t >> 16: t = (t >> 16) + (t & 0xffff)
    return ~t & 0xffff
def address(a): return socket.inet_aton(a)
def ip(source, target, protocol, body, options=b'', fragment=0, ident=1, ttl=64):
    head = lambda c: struct.pack('!BBHHHBBH4s4s', 0x40 | (5 + len(options) // 4), 0, 20 + len(options) + len(body), ident, fragment, ttl, protocol, c, address(source), address(target)) + options
    return head(total(head(0))) + body
def pseudo(source, target, protocol, body): return address(source) + address(target) + struct.pack('!BBH', 0, protocol, len(body))
def udp(source, target, sport, dport, data=b'x'):
    # no checksum: with one of the whole datagram a forged fragment would be dropped for the wrong reason
    return struct.pack('!HHHH', sport, dport, 8 + len(data), 0) + data
def tcp(source, target, sport, dport, flags, seq=1, ack=0):
    head = lambda c: struct.pack('!HHIIBBHHH', sport, dport, seq, ack, 0x50, flags, 1024, c, 0)
    return head(total(pseudo(source, target, 6, head(0)) + head(0)))
def icmp(kind, code, rest=b'\\0' * 4, data=b''):
    head = lambda c: struct.pack('!BBH', kind, code, c) + rest + data
    return head(total(head(0)))
def send(packet, ethertype=0x800, to=gateway_mac, tags=b''):
    wire.send(to + own_mac + tags + struct.pack('!H', ethertype) + packet)
`;

/** Runs a Python script that uses `ip`, `udp`, `tcp`, `icmp` and `send`; `words` are `sys.argv[3:]`. */
export function forge(
  from: TestNamespace,
  { link, to }: { readonly link: string; readonly to: string },
  script: string,
  ...words: readonly string[]
): void {
  from.run('python3', '-c', `${PREAMBLE}${script}`, link, to, ...words);
}

/** Counts packets that match, at the very beginning of a namespace's way in (or at the place of `hook`). */
export function count(
  where: TestNamespace,
  match: string,
  { hook = 'prerouting', priority = -500 } = {},
): { packets(): number; remove(): void } {
  where.run(
    'nft',
    `add table inet count; add chain inet count c { type filter hook ${hook} priority ${priority}; }; flush chain inet count c; add rule inet count c ${match} counter`,
  );
  return {
    packets: () =>
      Number(
        /counter packets (\d+)/.exec(where.run('nft', 'list', 'chain', 'inet', 'count', 'c'))?.[1] ??
          Number.NaN,
      ),
    remove: () => {
      where.run('nft', 'delete', 'table', 'inet', 'count');
    },
  };
}
