import { runNetworkKits } from './network-kits.ts';

runNetworkKits({ nftables: {}, none: 'none' });
