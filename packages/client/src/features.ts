/** What a daemon must know for a call; an old one gets no request that it would misunderstand. */
import { WardenError } from '@warden/interface';
import type { Transport } from './transport.ts';

/** Words of the protocol (docs/protocol-extensions.md). */
export type Feature =
  | 'job-command'
  | 'job-input'
  | 'properties'
  | 'pause'
  | 'info-many'
  | 'metrics'
  | 'events'
  | 'files'
  | 'images'
  | 'egress-domain'
  | 'live-output'
  | 'net-rules';

/** Errors: `UNSUPPORTED` with the field `feature`. */
export async function requireFeature(
  transport: Transport,
  feature: Feature,
  operation: string,
): Promise<void> {
  if ((await transport.features()).has(feature)) return;
  throw new WardenError(
    'UNSUPPORTED',
    `${operation}: this daemon does not know ${feature}; it is the original's, or older than this client`,
    { fields: { operation, feature } },
  );
}
