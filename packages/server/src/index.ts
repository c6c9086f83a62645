/**
 * Serves the `Warden` type on a unix socket in warden's wire protocol.
 *
 * @packageDocumentation
 */
export type { ClientPolicy, Peer } from './peer.ts';
export { type WardenServer, type WardenServerOptions, wardenServer } from './server.ts';
