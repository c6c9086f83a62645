import { describe, expect, it } from 'vitest';
import { serviceManager } from './service-manager.ts';

const OWN = String(process.pid);

describe('the service manager', () => {
  it('is nobody where the environment names none, and nothing happens [operations systemd]', () => {
    const environment = { HOME: '/root' };
    const manager = serviceManager(environment, () => expect.unreachable());
    manager.ready('x');
    manager.reloading();
    manager.stopping('x', true);
    manager.close();
    expect(manager.sockets).toEqual([]);
    expect(environment).toEqual({ HOME: '/root' });
  });

  it('is taken out of the environment, so that no program started from here is taken for the service [operations systemd]', () => {
    const environment: Record<string, string> = {
      NOTIFY_SOCKET: '/nonexistent/notify',
      WATCHDOG_USEC: '1000000',
      WATCHDOG_PID: OWN,
      LISTEN_PID: OWN,
      LISTEN_FDS: '1',
      LISTEN_FDNAMES: 'client',
      KEPT: 'yes',
    };
    const manager = serviceManager(environment);
    manager.close();
    expect(environment).toEqual({ KEPT: 'yes' });
    expect(manager.sockets).toEqual([{ name: 'client', descriptor: 3 }]);
  });

  it.each([
    [{ LISTEN_FDS: '2', LISTEN_PID: OWN, LISTEN_FDNAMES: 'a:b' }, ['a 3', 'b 4']],
    [{ LISTEN_FDS: '2', LISTEN_PID: OWN, LISTEN_FDNAMES: 'a' }, ['a 3', 'unknown 4']],
    [{ LISTEN_FDS: '1', LISTEN_PID: OWN }, ['unknown 3']],
    [{ LISTEN_FDS: '0', LISTEN_PID: OWN }, []],
    [{ LISTEN_FDS: '1', LISTEN_PID: '1' }, []],
    [{ LISTEN_FDS: '1' }, []],
    [{ LISTEN_PID: OWN }, []],
  ])('opens sockets for this process only: %j [operations socket activation]', (environment, expected) => {
    const { sockets } = serviceManager({ ...environment });
    expect(sockets.map(({ name, descriptor }) => `${name} ${descriptor}`)).toEqual(expected);
  });

  it.each([
    { LISTEN_FDS: 'x', LISTEN_PID: OWN },
    { LISTEN_FDS: '-1', LISTEN_PID: OWN },
    { WATCHDOG_USEC: '1s' },
  ])('is refused with numbers that are none: %j', (environment) => {
    expect(() => serviceManager({ ...environment } as Record<string, string>)).toThrow(/is no number/);
  });

  it('that cannot be reached is told of once, and never an error', () => {
    const seen: unknown[] = [];
    const manager = serviceManager({ NOTIFY_SOCKET: '/nonexistent/notify' }, (facts) => seen.push(facts));
    manager.ready('x');
    manager.stopping('x');
    manager.close();
    manager.stopping('after the end');
    expect(seen).toEqual([{ object: '/nonexistent/notify', errno: 'ENOENT' }]);
  });
});
