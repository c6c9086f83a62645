/**
 * Asks name servers: with an id and a port that nobody can guess, and believing only what answers the
 * question, from where it was sent.
 */
import { randomInt } from 'node:crypto';
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import { WardenError } from '@warden/interface';
import type { DnsResult } from './dns-message.ts';
import { DNS_CODE, questionMessage, readAnswer } from './dns-message.ts';

const DNS_PORT = 53;
const TRY_MS = 1_500;
const MAX_TRIES = 4;
const MAX_TCP_BYTES = 8_192;
const HOST_RESOLV_CONF = '/etc/resolv.conf';

/** Where a name server is. */
export interface NameServer {
  readonly address: string;
  readonly port: number;
}

/** Reads `address` or `address:port` (`[address]:port` of IPv6). Errors: `INVALID_SPEC`. */
export function parseNameServer(text: string): NameServer {
  if (net.isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? '';
  const port = Number(digits);
  if (net.isIP(address) !== 0 && port >= 1 && port <= 65_535) return { address, port };
  throw new WardenError('INVALID_SPEC', `not the address of a name server: ${JSON.stringify(text)}`, {
    fields: { operation: 'parse-name-server', object: text },
  });
}

/** The name servers of the host, as its file says now. */
export function hostNameServers(text: string = readHostFile()): NameServer[] {
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap(([, address = '']) =>
    net.isIP(address.replace(/%.*$/, '')) === 0 ? [] : [{ address, port: DNS_PORT }],
  );
}

function readHostFile(): string {
  try {
    return fs.readFileSync(HOST_RESOLV_CONF, 'latin1');
  } catch {
    return '';
  }
}

/**
 * Asks one after the other, some twice, until one knows whether there is such a name. Errors: `UNAVAILABLE`
 * when none does, within some six seconds.
 */
export async function askNameServers(name: string, servers: readonly NameServer[]): Promise<DnsResult> {
  const tries = [...servers, ...servers].slice(0, MAX_TRIES);
  let last: unknown;
  for (const server of tries) {
    try {
      let result = await askOne(name, server, overUdp);
      if (result.isTruncated) result = await askOne(name, server, overTcp);
      if (result.code === DNS_CODE.ok || result.code === DNS_CODE.noSuchName) return result;
      last = `${server.address} answers with code ${result.code}`;
    } catch (error) {
      last = error;
    }
  }
  const reason = last instanceof Error ? last.message : String(last ?? 'there is none');
  throw new WardenError('UNAVAILABLE', `no name server answers for ${name}: ${reason}`, {
    cause: last,
    fields: { operation: 'resolve', object: name },
  });
}

interface Exchange {
  readonly server: NameServer;
  readonly question: Buffer;
  /** Whether this was the answer. */
  readonly take: (bytes: Buffer) => boolean;
  readonly fail: (error: Error) => void;
}

/** Starts an exchange; answers how to end it. */
type Carrier = (exchange: Exchange) => () => void;

function askOne(name: string, server: NameServer, carry: Carrier): Promise<DnsResult> {
  const id = randomInt(0x1_0000);
  return new Promise((resolve, reject) => {
    let end: () => void = () => undefined;
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      end();
      finish();
    };
    const fail = (error: Error): void => settle(() => reject(error));
    const timer = setTimeout(() => fail(new Error(`${server.address} does not answer`)), TRY_MS);
    const take = (bytes: Buffer): boolean => {
      let result: DnsResult;
      try {
        result = readAnswer(bytes, { id, name });
      } catch {
        return false; // somebody else's, or forged: the right one may still come
      }
      settle(() => resolve(result));
      return true;
    };
    end = carry({ server, question: questionMessage(id, name), take, fail });
  });
}

const overUdp: Carrier = ({ server, question, take, fail }) => {
  const socket = dgram.createSocket(net.isIPv6(server.address.replace(/%.*$/, '')) ? 'udp6' : 'udp4');
  let isOver = false;
  socket.on('error', (error) => {
    if (!isOver) fail(error);
  });
  socket.on('message', (bytes) => {
    if (!isOver) take(bytes);
  });
  // Connected: the kernel gives it a port by chance, and only what comes from there is received.
  // Without a callback, so that a failure is an event like all others.
  socket.on('connect', () => {
    if (!isOver) socket.send(question);
  });
  socket.connect(server.port, server.address);
  return () => {
    isOver = true;
    socket.close();
  };
};

const overTcp: Carrier = ({ server, question, take, fail }) => {
  const socket = net.connect({ host: server.address, port: server.port });
  const length = Buffer.alloc(2);
  length.writeUInt16BE(question.length);
  let received = Buffer.alloc(0);
  socket.on('error', fail);
  socket.on('close', () => fail(new Error(`${server.address} closed the connection`)));
  socket.on('connect', () => socket.write(Buffer.concat([length, question])));
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    const expected = received.length < 2 ? undefined : received.readUInt16BE(0);
    if (received.length > MAX_TCP_BYTES || (expected ?? 0) > MAX_TCP_BYTES) {
      fail(new Error(`${server.address} answers more than ${MAX_TCP_BYTES} bytes`));
    } else if (expected !== undefined && received.length >= expected + 2) {
      if (!take(received.subarray(2, expected + 2)))
        fail(new Error(`${server.address} answers something else`));
    }
  });
  return () => {
    socket.removeAllListeners('close');
    socket.removeAllListeners('data');
    socket.destroy();
  };
};
