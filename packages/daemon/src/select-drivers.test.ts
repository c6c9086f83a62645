import { setTimeout as delay } from 'node:timers/promises';
import {
  type DriverFactory,
  type LogFields,
  type Logger,
  type ProbeResult,
  silentLogger,
} from '@warden/interface';
import { describe, expect, it, vi } from 'vitest';
import { checkConfiguration } from './config.ts';
import { type GivenDrivers, selectDrivers } from './select-drivers.ts';

const ROLES = ['init', 'filesystem', 'network', 'cgroup', 'quota'] as const;
type Role = (typeof ROLES)[number];

interface Chosen extends LogFields {
  readonly role: string;
  readonly driver: string;
}

/** A driver for each role that answers its probe as `answers` says, with what was probed when in `steps`. */
function given(answers: (role: Role) => Promise<ProbeResult>, steps: string[] = []): GivenDrivers {
  const factory = (role: Role) => () => ({
    role,
    name: `own-${role}`,
    supports: {},
    probe: async () => {
      steps.push(`${role} begins`);
      try {
        return await answers(role);
      } finally {
        steps.push(`${role} ends`);
      }
    },
  });
  const entries = ROLES.map((role) => [role, factory(role) as unknown as DriverFactory<never>]);
  return Object.fromEntries(entries) as GivenDrivers;
}

/** A logger that keeps which drivers were said to be chosen. */
function recording(chosen: Chosen[]): Logger {
  const logger: Logger = {
    debug: undefined,
    info: (event, fields) => {
      if (event === 'driver-chosen') chosen.push(fields as Chosen);
    },
    warn() {},
    error() {},
    child: () => logger,
  };
  return logger;
}

describe('another quota driver than the original’s', () => {
  it.each([
    ['is told who has asked for quota as the original had it', { disk_quota_enabled: true }, 1],
    ['is no news to who has not, and has no other to expect', undefined, 0],
  ])('%s [DECISIONS]', async (_what, quota, count) => {
    const warn = vi.fn();
    const logger: Logger = { ...silentLogger, warn, child: () => logger };
    const configuration = checkConfiguration({ server: { ...(quota && { quota }) } });
    expect(configuration.server.quota).toEqual({ disk_quota_enabled: true });
    await selectDrivers(
      configuration,
      { logger },
      given(async () => ({ ok: true }), []),
    );
    expect(warn.mock.calls.filter(([event]) => event === 'quota-driver-differs')).toHaveLength(count);
  });
});

describe('the probes of the roles', () => {
  it('run at the same time, and are told in the order of the roles', async () => {
    const steps: string[] = [];
    const chosen: Chosen[] = [];
    let last = (): void => undefined;
    const quotaHasBegun = new Promise<void>((resolve) => {
      last = resolve;
    });
    // the first role ends last, and only because the last one has begun
    const drivers = given(async (role) => {
      if (role === 'quota') last();
      if (role === 'init') await quotaHasBegun.then(() => delay(20));
      return { ok: true, detail: role };
    }, steps);
    const { trials } = await selectDrivers(checkConfiguration({}), { logger: recording(chosen) }, drivers);
    expect(steps.slice(0, 1)).toEqual(['init begins']);
    expect(steps.at(-1)).toBe('init ends');
    expect(trials.map(({ role, driver }) => [role, driver])).toEqual(
      ROLES.map((role) => [role, `own-${role}`]),
    );
    expect(chosen).toEqual(
      ROLES.map((role) => ({ role, driver: `own-${role}`, detail: role, rejected: [] })),
    );
  });

  it('refuse the start for the first role that has no driver, when all are over', async () => {
    const steps: string[] = [];
    const chosen: Chosen[] = [];
    const drivers = given(async (role) => {
      if (role === 'filesystem') await delay(30);
      if (role === 'cgroup') await delay(60);
      return role === 'filesystem' || role === 'network'
        ? { ok: false, reason: `no ${role} today` }
        : { ok: true };
    }, steps);
    const start = selectDrivers(checkConfiguration({}), { logger: recording(chosen) }, drivers);
    await expect(start).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: 'no filesystem driver works on this host: own-filesystem: no filesystem today',
      fields: { role: 'filesystem' },
    });
    expect(steps.filter((step) => step.endsWith('ends')).sort()).toEqual(
      ROLES.map((role) => `${role} ends`).sort(),
    );
    expect(chosen.map(({ role }) => role)).toEqual(['init', 'cgroup', 'quota']);
  });
});
