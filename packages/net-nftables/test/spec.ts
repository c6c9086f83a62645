import type { NetworkSpec } from '@warden/interface';

/** Some container. */
export const SPEC: NetworkSpec = {
  id: '0123456789a',
  hostIp: '10.254.0.1',
  containerIp: '10.254.0.2',
  prefixLength: 30,
  mtu: 1500,
};
