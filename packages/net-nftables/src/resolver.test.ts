/**
 * The resolver on loopback, whose addresses stand for containers: what one of them can hold of it, and all
 * together.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { silentLogger } from '@warden/interface';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DNS_CODE, type DnsResult, questionMessage } from './dns-message.ts';
import { parseAddress } from './ipv4-address.ts';
import { Resolver, type ResolverParts } from './resolver.ts';

const SOON = { timeout: 20_000 };
const FOUND: DnsResult = {
  code: DNS_CODE.ok,
  isTruncated: false,
  addresses: [parseAddress('192.0.2.1')],
  ttl: 60,
};
const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

/** Every address of 127/8 is a container of its own, which may ask for all below `test`. */
async function open(parts: Partial<ResolverParts>): Promise<number> {
  const resolver = new Resolver({
    log: silentLogger,
    asker: (address) => ({ id: address, rules: [{ domain: '*.test', network: undefined }] }),
    lookUp: async () => FOUND,
    open: (_asker, _rules, { addresses, ttl }) => ({ addresses, ttl }),
    denied: () => {},
    ...parts,
  });
  ends.push(() => resolver.close());
  return await resolver.open();
}

/** Asks as this container, by datagrams; answers the codes of what comes back, as it comes. */
async function asking(address: string, port: number, names: readonly string[]): Promise<number[]> {
  const socket = dgram.createSocket('udp4');
  ends.push(() => socket.close());
  const codes: number[] = [];
  socket.on('message', (bytes) => codes.push(bytes.readUInt16BE(2) & 0xf));
  socket.bind(0, address);
  await once(socket, 'listening');
  for (const [id, name] of names.entries()) socket.send(questionMessage(id + 1, name), port, '127.0.0.1');
  return codes;
}

const names = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, at) => `n${from + at}.test`);

describe('the resolver', () => {
  it('does nothing for who gives no port to answer to', async () => {
    const created = vi.spyOn(dgram, 'createSocket');
    ends.push(() => created.mockRestore());
    const lookUp = vi.fn(async () => FOUND);
    const port = await open({ lookUp });
    const socket = created.mock.results[0]!.value as dgram.Socket;
    // the kernel hands on what a container has forged so
    socket.emit('message', questionMessage(1, 'forged.test'), { address: '127.0.0.2', port: 0 });
    const codes = await asking('127.0.0.2', port, ['a.test']);
    await vi.waitFor(() => expect(codes).toEqual([DNS_CODE.ok]), SOON);
    expect(lookUp.mock.calls).toEqual([['a.test']]);
  });

  it('keeps no connection that asks nothing', async () => {
    const timeout = vi.spyOn(net.Socket.prototype, 'setTimeout');
    ends.push(() => timeout.mockRestore());
    const client = net.connect(await open({}), '127.0.0.1');
    ends.push(() => client.destroy());
    const closed = once(client, 'close');
    await vi.waitFor(() => expect(timeout.mock.calls).toEqual([[5_000, expect.any(Function)]]), SOON);
    timeout.mock.calls[0]![1]!(); // as Node does when the time is over
    await closed;
  });

  it('lets 32 questions of one container wait, and 256 of all; the others fail at once', async () => {
    const lookUp = vi.fn(() => new Promise<DnsResult>(() => {}));
    const port = await open({ lookUp });
    const first = await asking('127.0.0.2', port, names(40));
    await vi.waitFor(() => expect(first).toEqual(Array(8).fill(DNS_CODE.failed)), SOON);
    expect(lookUp).toHaveBeenCalledTimes(32);
    for (let other = 1; other < 8; other++)
      await asking(`127.0.0.${other + 2}`, port, names(32, other * 100));
    await vi.waitFor(() => expect(lookUp).toHaveBeenCalledTimes(256), SOON);
    const last = await asking('127.0.0.99', port, names(2, 900));
    await vi.waitFor(() => expect(last).toEqual([DNS_CODE.failed, DNS_CODE.failed]), SOON);
    // whoever asks for what is being asked for takes no place of all
    await asking('127.0.0.98', port, names(1));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(lookUp).toHaveBeenCalledTimes(256);
  });

  it('has room again for who has its answers', async () => {
    let answer = (): void => {};
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const port = await open({ lookUp: () => gate.then(() => FOUND) });
    const first = await asking('127.0.0.2', port, names(33));
    await vi.waitFor(() => expect(first).toEqual([DNS_CODE.failed]), SOON);
    answer();
    await vi.waitFor(() => expect(first).toHaveLength(33), SOON);
    const again = await asking('127.0.0.2', port, names(32, 100));
    await vi.waitFor(() => expect(again).toEqual(Array(32).fill(DNS_CODE.ok)), SOON);
  });

  it('keeps four connections of one container, and none of who may not ask', async () => {
    const isKnown = (address: string): boolean => address !== '127.0.0.9';
    const port = await open({
      asker: (address) => (isKnown(address) ? { id: address, rules: [] } : undefined),
    });
    const connect = (localAddress: string): net.Socket => {
      const socket = net.connect({ port, host: '127.0.0.1', localAddress });
      socket.on('error', () => {});
      ends.push(() => socket.destroy());
      return socket;
    };
    const mine = Array.from({ length: 10 }, () => connect('127.0.0.2'));
    const others = Array.from({ length: 4 }, () => connect('127.0.0.3'));
    const strangers = [connect('127.0.0.9')];
    const countOpen = (sockets: readonly net.Socket[]): number =>
      sockets.filter(({ closed, destroyed }) => !closed && !destroyed).length;
    await vi.waitFor(
      () => expect([countOpen(mine), countOpen(others), countOpen(strangers)]).toEqual([4, 4, 0]),
      SOON,
    );
    mine.find(({ destroyed }) => !destroyed)!.destroy();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const next = connect('127.0.0.2');
    await once(next, 'connect');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(countOpen([next])).toBe(1);
  });

  it('tells nothing to who has the address of a container that is gone by then', async () => {
    let owner = 'one';
    let answer = (): void => {};
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const opened = vi.fn();
    const port = await open({
      asker: () => ({ id: owner, rules: [{ domain: '*.test', network: undefined }] }),
      lookUp: () => gate.then(() => FOUND),
      open: opened,
    });
    const codes = await asking('127.0.0.2', port, names(1));
    await new Promise((resolve) => setTimeout(resolve, 100));
    owner = 'two';
    answer();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect([codes, opened.mock.calls]).toEqual([[], []]);
  });
});
