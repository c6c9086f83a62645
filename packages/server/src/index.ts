/**
 * Serves the `Warden` type on a unix socket in warden's wire protocol.
 *
 * @packageDocumentation
 */
export type { RequestObserver } from './connection.ts';
export type { ClientPolicy, Peer } from './peer.ts';
export { type WardenServer, type WardenServerOptions, wardenServer } from './server.ts';
export { type KeptSocket, keepListeningAt, requireFreePath, requireSocketPlace } from './socket-file.ts';
