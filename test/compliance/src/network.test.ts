import { networkCompliance } from '@warden/driver-compliance';
import { describeWith, HOST_ADDRESS } from '@warden/test-harness';
import { describe, it } from 'vitest';
import type { NetworkKind } from './remote-driver.ts';
import { networkSubject } from './subjects/network.ts';

const KINDS: Readonly<Record<string, NetworkKind>> = {
  nftables: {},
  'nftables, bandwidth at both ends': { bandwidth: 'ends' },
  'nftables, bandwidth by rules': { bandwidth: 'limit' },
  'nftables, everything routed': { inbound: 'routed' },
  'nftables, its address configured': { outwardAddress: HOST_ADDRESS },
  none: 'none',
};

describeWith(['root', 'isolated', 'nft', 'python3'], 'networks', () => {
  for (const [name, kind] of Object.entries(KINDS))
    networkCompliance({ describe, it }, name, () => networkSubject(kind));
});
