/** The driver for hosts without any network set-up: containers use the host's network or none, as init arranges it. */
import type { BandwidthStat, DriverFactory, NetworkDriver } from '@warden/interface';
import { WardenError } from '@warden/interface';

/** Answer for a direction that is not limited; the original's number. */
const UNLIMITED = 4294967295n;

/** Both directions without a limit. */
export function unlimitedBandwidth(): BandwidthStat {
  return { inRate: UNLIMITED, inBurst: UNLIMITED, outRate: UNLIMITED, outBurst: UNLIMITED };
}

function unsupported(operation: string, id: string): WardenError {
  return new WardenError('UNSUPPORTED', `the network driver "none" has no ${operation}`, {
    fields: { operation, object: id, driver: 'none' },
  });
}

/**
 * Makes a driver that makes nothing. `attach`, `release`, `restore` without records and `sweep` succeed; the
 * rest is `UNSUPPORTED`.
 */
export function noNetwork(): DriverFactory<NetworkDriver> {
  return () => ({
    role: 'network',
    name: 'none',
    supports: { link: false, portMapping: false, egressRules: false, bandwidth: false, closedInbound: false },
    probe: async () => ({ ok: true }),
    setup: async () => {},
    plan: () => ({}),
    inside: (spec) => ({
      interface: '',
      address: spec.containerIp,
      prefixLength: spec.prefixLength,
      gateway: spec.hostIp,
      mtu: spec.mtu,
      gatewayMac: '',
    }),
    attach: async () => {},
    mapPort: async (spec) => {
      throw unsupported('port-mapping', spec.id);
    },
    allowEgress: async (spec) => {
      throw unsupported('egress-rules', spec.id);
    },
    setBandwidth: async (spec) => {
      throw unsupported('bandwidth', spec.id);
    },
    bandwidth: async () => unlimitedBandwidth(),
    restore: async (spec, _state, recorded) => {
      if (recorded.mappings.length > 0) throw unsupported('port-mapping', spec.id);
      if (recorded.egress.length > 0) throw unsupported('egress-rules', spec.id);
      if (recorded.bandwidth !== undefined) throw unsupported('bandwidth', spec.id);
    },
    release: async () => {},
    sweep: async () => [],
    close: async () => {},
  });
}
