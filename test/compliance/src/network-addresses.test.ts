import { HOST_ADDRESS } from '@warden/test-harness';
import { runNetworkKits } from './network-kits.ts';

runNetworkKits({
  'nftables, everything routed': { inbound: 'routed' },
  'nftables, its address configured': { outwardAddress: HOST_ADDRESS },
});
