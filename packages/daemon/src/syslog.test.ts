import { silentLogger, WardenError } from '@warden/interface';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openSyslog, syslogSender, syslogTag } from './syslog.ts';

const heard = vi.hoisted(() => [] as string[]);
const descriptors = vi.hoisted(() => ({ areFree: true }));
vi.mock('@warden/native', async (original) => {
  const real = await original<typeof import('@warden/native')>();
  const sendDatagram: typeof real.sendDatagram = (descriptor, path, content) => {
    if (path !== '/dev/log') return real.sendDatagram(descriptor, path, content);
    heard.push(Buffer.from(content).toString()); // the one of this host must not hear of a test
    return undefined;
  };
  const makeDatagramSocket: typeof real.makeDatagramSocket = () => {
    if (descriptors.areFree) return real.makeDatagramSocket();
    throw new WardenError('NATIVE_FAILED', 'datagram-socket: EMFILE', { fields: { errno: 'EMFILE' } });
  };
  return { ...real, sendDatagram, makeDatagramSocket };
});

afterEach(() => {
  descriptors.areFree = true;
});

describe('syslog', () => {
  it.each([
    ['app', 'warden.app'],
    ['a b\tc\nd\0e', 'warden.a_b_c_d_e'],
    ['ü💥', 'warden.__'],
    ['', 'warden.'],
    ['x'.repeat(300), `warden.${'x'.repeat(256)}`],
    ['\ud800lone', 'warden._lone'],
  ])('makes a tag of %j that cannot end itself', (tag, expected) => expect(syslogTag(tag)).toBe(expected));

  it('answers at once and warns once when nobody listens', () => {
    const warn = vi.fn();
    const syslog = openSyslog('/nonexistent/log', { ...silentLogger, warn });
    for (let at = 0; at < 3; at++) expect(syslog.send('info', 't', Buffer.from('line'))).toBe(true);
    expect(warn.mock.calls).toEqual([['syslog-lines-dropped', expect.objectContaining({ errno: 'ENOENT' })]]);
  });

  it('drops lines without a free descriptor, warns once, and goes on when there is one', () => {
    descriptors.areFree = false;
    const warn = vi.fn();
    const syslog = openSyslog('/nonexistent/log', { ...silentLogger, warn });
    for (let at = 0; at < 3; at++) expect(syslog.send('info', 't', Buffer.from('line'))).toBe(true);
    expect(warn.mock.calls).toEqual([['syslog-lines-dropped', expect.objectContaining({ errno: 'EMFILE' })]]);
    expect(syslogSender()('<14>', 'warden', Buffer.from('of the daemon'))).toBe('EMFILE');
    descriptors.areFree = true;
    expect(syslog.send('info', 't', Buffer.from('line'))).toBe(true);
    expect(warn.mock.lastCall).toEqual([
      'syslog-lines-dropped',
      expect.objectContaining({ errno: 'ENOENT' }),
    ]);
  });

  it('goes to the socket of the system where none is configured [config 2 syslog_socket, logging.syslog]', () => {
    for (const socket of [undefined, null])
      expect(openSyslog(socket, silentLogger).send('error', 'app', Buffer.from('of a job'))).toBe(true);
    expect(syslogSender()('<14>', 'warden', Buffer.from('of the daemon'))).toBe(undefined);
    expect(heard.map((line) => line.replace(/[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d/, 'TIME'))).toEqual([
      '<11>TIME warden.app: of a job',
      '<11>TIME warden.app: of a job',
      '<14>TIME warden: of the daemon',
    ]);
  });
});
