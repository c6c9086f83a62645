import { runNetworkKits } from './network-kits.ts';

runNetworkKits({
  'nftables, bandwidth at both ends': { bandwidth: 'ends' },
  'nftables, bandwidth by rules': { bandwidth: 'limit' },
});
