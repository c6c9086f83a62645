import { silentLogger } from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { openSyslog, syslogTag } from './syslog.ts';

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
});
