/**
 * Whether a program of the host listens on a TCP port that is to be published. The mapping would silently
 * take its clients away.
 *
 * The kernel's socket diagnosis looks at listeners alone. The files below /proc also walk through its table
 * of all connections, which takes milliseconds however few there are; they are for kernels without it.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { NETLINK_SOCK_DIAG, NetlinkSocket } from '@warden/native';
import { isKernelError } from './netlink-connection.ts';
import {
  bigEndian16,
  message,
  messageAttributes,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  uint32,
} from './netlink-message.ts';

const FAMILIES = { inet: 2, inet6: 10 } as const;
const TCP = 6;
const SOCK_DIAG_BY_FAMILY = 20;
const LISTEN = 10;
/** Of inet_diag_req_v2: what is behind the source port. */
const REST_OF_SOCKET_BYTES = 46;
const HEADER_BYTES = 16;
/** inet_diag_msg (linux/inet_diag.h). */
const ANSWER = { port: 4, address: 8, bytes: 72 } as const;
const ATTRIBUTE_V6ONLY = 11;

/**
 * The kernel lists listening sockets first, so only the beginning has to be read however many connections
 * there are.
 */
const FILES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const;
const STATE_LISTEN = '0A';
const CHUNK_BYTES = 64 * 1024;

/**
 * The addresses at which somebody listens on `port`, as numbers; 0 stands for every address. Those of IPv6
 * alone do not count.
 */
export function listeningAddresses(port: number): number[] {
  try {
    return addressesByDiagnosis(port);
  } catch (error) {
    if (!isKernelError(error, 'ENOENT', 'EPROTONOSUPPORT', 'EINVAL', 'EOPNOTSUPP')) throw error;
    return addressesByFiles(port);
  }
}

/** As {@link listeningAddresses}. Errors: the kernel's, also for one that cannot tell. */
export function addressesByDiagnosis(port: number): number[] {
  const socket = NetlinkSocket.open(NETLINK_SOCK_DIAG);
  try {
    return Object.values(FAMILIES).flatMap((family) => {
      const sequence = socket.nextSequence();
      const body = {
        type: SOCK_DIAG_BY_FAMILY,
        flags: NLM_F_REQUEST | NLM_F_DUMP,
        payload: question(family, port),
      };
      return socket
        .request(message(body, sequence), [sequence])
        .flatMap((answer) => listenerOf(answer, port));
    });
  } finally {
    socket.close();
  }
}

/** As {@link listeningAddresses}; of an IPv6 socket at every address it is not known whether it takes IPv4, too. */
export function addressesByFiles(port: number): number[] {
  return FILES.flatMap(listeningSockets)
    .filter((socket) => socket.port === port)
    .map(({ address }) => address);
}

function question(family: number, port: number): Buffer {
  return Buffer.concat([
    Buffer.of(family, TCP, 0, 0),
    uint32(1 << LISTEN),
    bigEndian16(port),
    Buffer.alloc(REST_OF_SOCKET_BYTES),
  ]);
}

function listenerOf(answer: Buffer, wanted: number): number[] {
  const found = answer.subarray(HEADER_BYTES);
  if (found.length < ANSWER.bytes || found.readUInt16BE(ANSWER.port) !== wanted) return [];
  const at = ANSWER.address;
  if (found[0] === FAMILIES.inet) return [found.readUInt32BE(at)];
  if (messageAttributes(answer, ANSWER.bytes).get(ATTRIBUTE_V6ONLY)?.[0] === 1) return [];
  const address = ipv4Of(found.subarray(at, at + 16));
  return address === undefined ? [] : [address];
}

/** What an IPv6 address means to IPv4 clients. */
function ipv4Of(bytes: Buffer): number | undefined {
  if (bytes.every((byte) => byte === 0)) return 0;
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes.readUInt16BE(10) === 0xffff;
  return isMapped ? bytes.readUInt32BE(12) : undefined;
}

function* lines(file: string): Generator<string> {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return; // a kernel without IPv6
    throw error;
  }
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let rest = '';
    for (;;) {
      const count = readSync(descriptor, chunk);
      if (count === 0) return;
      const parts = (rest + chunk.toString('latin1', 0, count)).split('\n');
      rest = parts.pop() ?? '';
      yield* parts;
    }
  } finally {
    closeSync(descriptor);
  }
}

function listeningSockets(file: string): { readonly address: number; readonly port: number }[] {
  const found: { address: number; port: number }[] = [];
  let isHeader = true;
  for (const line of lines(file)) {
    if (isHeader) {
      isHeader = false;
      continue;
    }
    const [, local = '', , state] = line.trim().split(/\s+/);
    if (state !== STATE_LISTEN) break;
    const [text = '', port = ''] = local.split(':');
    const address = addressOf(text);
    if (address !== undefined) found.push({ address, port: Number.parseInt(port, 16) });
  }
  return found;
}

/** The kernel writes addresses as 32-bit words in its own byte order. */
function addressOf(hex: string): number | undefined {
  const bytes = Buffer.from(hex, 'hex');
  const word = (at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, isLittle);
  if (bytes.length === 4) return word(0);
  // The IPv6 wildcard takes IPv4 connections too, unless the socket was told not to; the list does not say.
  if (bytes.every((byte) => byte === 0)) return 0;
  const isMapped = bytes.length === 16 && word(0) === 0 && word(4) === 0 && word(8) === 0xffff;
  return isMapped ? word(12) : undefined;
}

const isLittle = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
