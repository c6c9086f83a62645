import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { addressesByDiagnosis, addressesByFiles, listeningAddresses } from './host-listener.ts';
import { parseAddress } from './ipv4-address.ts';

const servers: net.Server[] = [];

async function listen(options: net.ListenOptions): Promise<number> {
  const server = net.createServer();
  servers.push(server);
  server.listen(options);
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

function hasIpv6(): Promise<boolean> {
  return listen({ host: '::1', port: 0 }).then(
    () => true,
    () => false,
  );
}

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const WAYS = {
  'by diagnosis': addressesByDiagnosis,
  'by files': addressesByFiles,
  'as asked': listeningAddresses,
};

describe.each(Object.entries(WAYS))('who listens on a port, %s', (_way, addresses) => {
  it('is told with the address, and nobody where nobody does', async () => {
    const one = await listen({ host: '127.0.0.1', port: 0 });
    const all = await listen({ host: '0.0.0.0', port: 0 });
    expect(addresses(one)).toEqual([parseAddress('127.0.0.1')]);
    expect(addresses(all)).toEqual([0]);
    servers.splice(0).forEach((server) => {
      server.close();
    });
    expect(addresses(one)).toEqual([]);
  });

  it('counts an IPv6 listener where it takes IPv4, too', async (context) => {
    if (!(await hasIpv6())) context.skip('IPv6 in this network namespace');
    const both = await listen({ host: '::', port: 0 });
    const mapped = await listen({ host: '::ffff:127.0.0.2', port: 0 });
    const other = await listen({ host: '::1', port: 0 });
    expect(addresses(both)).toEqual([0]);
    expect(addresses(mapped)).toEqual([parseAddress('127.0.0.2')]);
    expect(addresses(other)).toEqual([]);
  });

  it('does not take who is connected for a listener', async () => {
    const port = await listen({ host: '127.0.0.1', port: 0 });
    const client = net.connect(port, '127.0.0.1');
    await once(client, 'connect');
    expect(addresses(client.localPort!)).toEqual([]);
    client.destroy();
  });
});

it('by diagnosis, an IPv6 listener that refuses IPv4 does not count', async (context) => {
  if (!(await hasIpv6())) context.skip('IPv6 in this network namespace');
  const port = await listen({ host: '::', port: 0, ipv6Only: true });
  expect(addressesByDiagnosis(port)).toEqual([]);
});
