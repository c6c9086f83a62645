/** Who may be a client, beyond what the mode of the socket's file says (spec behaviour.md 1; SO_PEERCRED). */
import type { ClientPolicy } from '@warden/server';

/**
 * The policy of `server.allowed_uids`. Root and the daemon's own user are always admitted: they could take
 * what they want in other ways. `undefined` without a list: the file's mode decides alone.
 */
export function clientPolicy(
  allowedUids: readonly number[] | null,
  ownUid: number = process.getuid?.() ?? 0,
): ClientPolicy | undefined {
  if (allowedUids === null) return undefined;
  const admitted = new Set([0, ownUid, ...allowedUids]);
  return ({ uid }) => (admitted.has(uid) ? undefined : `uid ${uid} is not among server.allowed_uids`);
}

/** Both must agree. */
export function bothPolicies(
  one: ClientPolicy | undefined,
  other: ClientPolicy | undefined,
): ClientPolicy | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return (peer) => one(peer) ?? other(peer);
}
