/** Whether a program of the host listens on a TCP port that is to be published. The mapping would silently take its clients away. */
import { closeSync, openSync, readSync } from 'node:fs';

/** The kernel lists listening sockets first, so only the beginning has to be read however many connections there are. */
const FILES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const;
const STATE_LISTEN = '0A';
const CHUNK_BYTES = 64 * 1024;

/** The addresses at which somebody listens on `port`, as numbers; 0 stands for every address. Those of IPv6 alone do not count. */
export function listeningAddresses(port: number): number[] {
  return FILES.flatMap(listeningSockets)
    .filter((socket) => socket.port === port)
    .map(({ address }) => address);
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
