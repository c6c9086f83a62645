import { networkCompliance } from '@warden/driver-compliance';
import { describeWith } from '@warden/test-harness';
import { describe, it } from 'vitest';
import type { NetworkKind } from './remote-driver.ts';
import { networkSubject } from './subjects/network.ts';

/**
 * The whole kit for each kind, by its name. A kind takes a minute and more, mostly of waiting for programs
 * that it starts: kinds in files of their own run side by side.
 */
export function runNetworkKits(kinds: Readonly<Record<string, NetworkKind>>): void {
  describeWith(['root', 'isolated', 'nft', 'python3'], 'networks', () => {
    for (const [name, kind] of Object.entries(kinds))
      networkCompliance({ describe, it }, name, () => networkSubject(kind));
  });
}
