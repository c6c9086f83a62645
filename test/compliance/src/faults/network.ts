/** Faults of network drivers. */
import { isWardenError, WardenError } from '@warden/interface';
import { counter, type Fault } from './fault.ts';

const SPEC = {
  id: 'ccccccccccc',
  hostIp: '10.254.0.9',
  containerIp: '10.254.0.10',
  prefixLength: 30,
  mtu: 1500,
};
const ALL = { protocol: 'all', log: false } as const;
const UNLIMITED = 4_294_967_295n;

/** Each is caught by the kit for network drivers. */
export const NETWORK_FAULTS: readonly Fault<'network'>[] = [
  {
    name: 'the probe leaves a link',
    members: (driver) => ({
      probe: async () => {
        await driver.attach(SPEC, driver.plan(SPEC), 999);
        return driver.probe();
      },
    }),
  },
  {
    name: 'plan answers differently each time',
    members: () => {
      const next = counter();
      return { plan: () => ({ link: `w-${next()}` }) };
    },
  },
  {
    name: 'setup drops the links of living containers',
    members: (driver) => ({
      setup: async () => {
        await driver.sweep(new Set());
      },
    }),
  },
  {
    name: 'what was begun outlives the release',
    isOfOptional: true,
    members: (driver) => {
      const attached = new Set<string>();
      return {
        attach: async (spec, state, pid) => {
          await driver.attach(spec, state, pid);
          attached.add(spec.id);
        },
        release: async (spec, state) => {
          if (attached.delete(spec.id)) await driver.release(spec, state);
        },
      };
    },
  },
  {
    name: 'all egress is allowed',
    members: (driver) => ({
      attach: async (spec, state, pid) => {
        await driver.attach(spec, state, pid);
        await driver.allowEgress(spec, state, ALL);
      },
    }),
  },
  {
    name: 'a rule counts for every port',
    members: (driver) => ({
      allowEgress: (spec, state, { ports: _ports, ...rest }) => driver.allowEgress(spec, state, rest),
    }),
  },
  {
    name: 'the name of a rule is passed over',
    members: (driver) => ({
      allowEgress: (spec, state, { domain: _domain, ...rest }) => driver.allowEgress(spec, state, rest),
    }),
  },
  { name: 'a rule has no effect', members: () => ({ allowEgress: async () => {} }) },
  {
    name: 'a port leads to another one inside',
    members: (driver) => ({
      mapPort: (spec, state, mapping) =>
        driver.mapPort(spec, state, { ...mapping, containerPort: mapping.containerPort + 1 }),
    }),
  },
  {
    name: 'a taken port is no error',
    members: (driver) => ({
      mapPort: (spec, state, mapping) =>
        driver.mapPort(spec, state, mapping).catch((error: unknown) => {
          if (!isWardenError(error, 'ALREADY_EXISTS') || error.fields.owner === 'host') throw error;
        }),
    }),
  },
  {
    name: 'a port is taken from a program of the host',
    members: (driver) => ({
      mapPort: (spec, state, mapping) =>
        driver.mapPort(spec, state, mapping).catch((error: unknown) => {
          if (!isWardenError(error, 'ALREADY_EXISTS') || error.fields.owner !== 'host') throw error;
        }),
    }),
  },
  {
    name: 'the same mapping twice is an error',
    members: (driver) => {
      const known = new Set<number>();
      return {
        mapPort: async (spec, state, mapping) => {
          if (known.has(mapping.hostPort))
            throw new WardenError('ALREADY_EXISTS', 'mapped', { fields: { operation: 'map port' } });
          await driver.mapPort(spec, state, mapping);
          known.add(mapping.hostPort);
        },
      };
    },
  },
  {
    name: 'mappings are known to one instance only',
    members: (driver) => {
      const known = new Set<string>();
      return {
        attach: async (spec, state, pid) => {
          await driver.attach(spec, state, pid);
          known.add(spec.id);
        },
        mapPort: (spec, state, mapping) =>
          driver.mapPort(spec, state, mapping).catch((error: unknown) => {
            if (known.size > 1) throw error;
          }),
      };
    },
  },
  { name: 'release removes nothing', members: () => ({ release: async () => {} }) },
  { name: 'nothing is taken back', members: () => ({ withdraw: async () => {} }) },
  {
    name: 'ports are not taken back',
    members: (driver) => ({
      withdraw: async (spec, state, { withdrawn, kept }) => {
        const mappings = [...kept.mappings, ...withdrawn.mappings];
        await driver.withdraw?.(spec, state, { withdrawn, kept: { ...kept, mappings } });
      },
    }),
  },
  {
    name: 'what is kept is taken back too',
    members: (driver) => ({
      withdraw: async (spec, state, { withdrawn }) => {
        await driver.withdraw?.(spec, state, { withdrawn, kept: { mappings: [], egress: [] } });
      },
    }),
  },
  {
    name: 'release fails where nothing is',
    members: (driver) => ({
      release: async (spec, state) => {
        await driver.restore(spec, state, { mappings: [], egress: [] });
        await driver.release(spec, state);
      },
    }),
  },
  {
    name: 'a failed attach leaves a link',
    members: (driver) => ({
      attach: (spec, state, pid) =>
        driver.attach(spec, state, pid).catch(async (error: unknown) => {
          await driver.attach(spec, state, 999);
          throw error;
        }),
    }),
  },
  {
    name: 'an attach to nobody is no error',
    members: (driver) => ({ attach: (spec, state, pid) => driver.attach(spec, state, pid).catch(() => {}) }),
  },
  {
    name: 'init is told the address of the host',
    members: (driver) => ({
      inside: (spec, state) => ({ ...driver.inside(spec, state), address: spec.hostIp }),
    }),
  },
  {
    name: 'init is told another MTU',
    members: (driver) => ({ inside: (spec, state) => ({ ...driver.inside(spec, state), mtu: 1400 }) }),
  },
  {
    name: 'restore forgets the mappings',
    members: (driver) => ({
      restore: (spec, state, recorded) => driver.restore(spec, state, { ...recorded, mappings: [] }),
    }),
  },
  {
    name: 'restore allows everything',
    members: (driver) => ({
      restore: (spec, state, recorded) => driver.restore(spec, state, { ...recorded, egress: [ALL] }),
    }),
  },
  {
    name: 'restore forgets the bandwidth',
    members: (driver) => ({
      restore: (spec, state, { mappings, egress }) => driver.restore(spec, state, { mappings, egress }),
    }),
  },
  {
    name: 'restore of a lost link is no error',
    members: (driver) => ({
      restore: (spec, state, recorded) => driver.restore(spec, state, recorded).catch(() => {}),
    }),
  },
  { name: 'sweep removes everything', members: (driver) => ({ sweep: () => driver.sweep(new Set()) }) },
  { name: 'sweep removes nothing', members: () => ({ sweep: async () => [] }) },
  {
    name: 'a limit of bandwidth is answered but not in force',
    members: () => {
      const asked = new Map<string, { rate: bigint; burst: bigint }>();
      return {
        setBandwidth: async (spec, _state, limit) => {
          asked.set(spec.id, limit);
        },
        bandwidth: async (spec) => {
          const { rate, burst } = asked.get(spec.id) ?? { rate: UNLIMITED, burst: UNLIMITED };
          return { inRate: rate, inBurst: burst, outRate: rate, outBurst: burst };
        },
      };
    },
  },
  {
    name: 'a bandwidth of nothing is accepted',
    members: (driver) => ({
      setBandwidth: (spec, state, limit) => driver.setBandwidth(spec, state, limit).catch(() => {}),
    }),
  },
  {
    name: 'the next container inherits the bandwidth',
    members: (driver) => {
      const left = new Map<string, { rate: bigint; burst: bigint }>();
      return {
        setBandwidth: async (spec, state, limit) => {
          await driver.setBandwidth(spec, state, limit);
          left.set(spec.id, limit);
        },
        attach: async (spec, state, pid) => {
          await driver.attach(spec, state, pid);
          const limit = left.get(spec.id);
          if (limit) await driver.setBandwidth(spec, state, limit);
        },
      };
    },
  },
  {
    name: 'a rule makes what was released anew',
    members: (driver) => ({
      allowEgress: (spec, state, rule) =>
        driver.allowEgress(spec, state, rule).catch(() => driver.attach(spec, state, 999)),
    }),
  },
];
