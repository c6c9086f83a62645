import { describe, expect, it } from 'vitest';
import { formatMac, linkEnds, linkOwner } from './link-names.ts';
import { message } from './netlink-message.ts';
import {
  addAddress,
  addNeighbour,
  createVeth,
  dumpLinks,
  getRoute,
  readAddress,
  readLink,
  readPreferredSource,
  takeDown,
} from './rtnetlink.ts';

const ID = '0123456789a';

describe('link names', () => {
  it('fit the kernel and lead back to the container', () => {
    const { host, container } = linkEnds(ID);
    expect([host.name, container.name]).toEqual(['w-0123456789a-0', 'w-0123456789a-1']);
    expect(Buffer.byteLength(host.name)).toBe(15);
    expect(linkOwner(host.name)).toBe(ID);
    expect(linkOwner(container.name)).toBeUndefined();
    expect(linkOwner('w-x-0')).toBeUndefined();
  });

  it('have a local unicast address of their own', () => {
    const { host, container } = linkEnds(ID);
    expect((host.mac[0] ?? 0) & 3).toBe(2);
    expect(formatMac(host.mac)).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    expect(formatMac(host.mac)).not.toBe(formatMac(container.mac));
    expect(linkEnds(ID).host.mac).toEqual(host.mac);
  });
});

describe('requests', () => {
  it('make a veth pair: near end up without ARP, far end in the namespace of a pid', () => {
    const near = { name: 'a', mac: Buffer.from('020000000001', 'hex') };
    const far = { name: 'b', mac: Buffer.from('020000000002', 'hex') };
    const body = createVeth(near, far, 1500, 4711);
    expect(body).toMatchObject({ type: 16, flags: 0x605 });
    expect(body.payload.toString('hex')).toBe(
      '00000000' +
        '00000000' +
        '81000000' +
        '81000000' +
        '0600030061000000' +
        '08000400dc050000' +
        '0a000100020000000001' +
        '0000' +
        '08001f0001000000' +
        '0800200001000000' +
        '5c001280' +
        '0900010076657468' +
        '00000000' +
        '4c000280' +
        '48000180' +
        '00000000000000000000000000000000' +
        '0600030062000000' +
        '08000400dc050000' +
        '0a000100020000000002' +
        '0000' +
        '08001f0001000000' +
        '0800200001000000' +
        '0800130067120000',
    );
    expect(createVeth(near, far, 1500).payload.toString('hex')).not.toContain('08001300');
  });

  it('name address, broadcast and neighbour', () => {
    const address = Buffer.from('0afe0001', 'hex');
    expect(addAddress(7, address, 30, Buffer.from('0afe0003', 'hex')).payload.toString('hex')).toBe(
      '021e0000' + '07000000' + '080002000afe0001' + '080001000afe0001' + '080004000afe0003',
    );
    expect(addNeighbour(7, address, Buffer.from('020000000002', 'hex')).payload.toString('hex')).toBe(
      '02000000' + '07000000' + '80000000' + '080001000afe0001' + '0a000200020000000002' + '0000',
    );
  });

  it('take only the up flag away', () => {
    expect(takeDown(9).payload.toString('hex')).toBe('00000000' + '09000000' + '00000000' + '01000000');
  });

  it('ask for a route to one address', () => {
    expect(getRoute(Buffer.of(1, 2, 3, 4)).payload.toString('hex')).toBe(
      '022000000000000000000000' + '0800010001020304',
    );
    expect(dumpLinks().flags).toBe(0x305);
  });
});

describe('answers', () => {
  it('are read by field', () => {
    const link = Buffer.from(
      '00000100' +
        '2a000000' +
        '41100000' +
        '00000000' +
        '0600030061000000' +
        '080014006f776e00' +
        '0800040028230000',
      'hex',
    );
    expect(readLink(message({ type: 16, flags: 0, payload: link }, 1))).toEqual({
      index: 42,
      mtu: 9000,
      isUp: true,
      name: 'a',
      alias: 'own',
      group: 0,
      farNamespace: undefined,
      routesLoopback: false,
      hasIpv6: false,
    });
    // IFLA_AF_SPEC of AF_INET with IFLA_INET_CONF, of which route_localnet is the 26th number
    const settings = `6c000100${'00000000'.repeat(25)}01000000`;
    const family = `74001a00${`70000200${settings}`}`;
    const routing = Buffer.concat([link, Buffer.from(family, 'hex')]);
    expect(readLink(message({ type: 16, flags: 0, payload: routing }, 1)).routesLoopback).toBe(true);
    // and of AF_INET6 with IFLA_INET6_CONF, of which disable_ipv6 is the 26th behind the first
    const withIpv6 = (disabled: string): boolean => {
      const listed = Buffer.from(`78001a0074000a0070000200${'00000000'.repeat(26)}${disabled}`, 'hex');
      return readLink(message({ type: 16, flags: 0, payload: Buffer.concat([link, listed]) }, 1)).hasIpv6;
    };
    expect([withIpv6('00000000'), withIpv6('01000000'), withIpv6('')]).toEqual([true, false, false]);
    const near = Buffer.from('021e0000' + '2a000000' + '080002000afe0001' + '080001000afe0002', 'hex');
    expect(readAddress(message({ type: 20, flags: 0, payload: near }, 1))).toEqual({
      index: 42,
      address: 0x0afe0001,
      prefixLength: 30,
    });
    expect(readAddress(message({ type: 20, flags: 0, payload: near.subarray(0, 8) }, 1))).toBeUndefined();
    const route = Buffer.from('022000000000000000000000' + '08000700cb007101', 'hex');
    expect(readPreferredSource(message({ type: 24, flags: 0, payload: route }, 1))).toBe(0xcb007101);
  });
});
