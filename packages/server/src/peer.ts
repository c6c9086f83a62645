/** Who is at the other end of a connection, and whether they may stay. */
import type { Socket } from 'node:net';
import { WardenError } from '@warden/interface';

/** A client as the kernel noted it when the connection was made (SO_PEERCRED); nothing a client sends can change it. */
export interface Peer {
  /** Of the process that connected; 0 when it lives where this process cannot see it. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Answers why somebody may not stay, in words that the client is told; `undefined`: welcome. */
export type ClientPolicy = (peer: Peer) => string | undefined;

/** What the server knows about a connection's other end. */
export interface PeerOptions {
  readonly peerOf?: ((descriptor: number) => Peer) | undefined;
  readonly policy?: ClientPolicy | undefined;
}

/**
 * Finds out who it is. Errors: `FORBIDDEN` when the policy refuses, or cannot be asked because nobody knows
 * who it is.
 */
export function admit(socket: Socket, { peerOf, policy }: PeerOptions): Peer | undefined {
  const peer = identify(socket, peerOf);
  if (policy === undefined) return peer;
  const reason = peer === undefined ? 'nobody can tell who connects' : policy(peer);
  if (reason === undefined) return peer;
  throw new WardenError('FORBIDDEN', `this client is not admitted: ${reason}`, {
    fields: { operation: 'connect', ...(peer && { uid: peer.uid, gid: peer.gid, pid: peer.pid }) },
  });
}

function identify(socket: Socket, peerOf: PeerOptions['peerOf']): Peer | undefined {
  const descriptor = descriptorOf(socket);
  if (peerOf === undefined || descriptor === undefined) return undefined;
  try {
    return peerOf(descriptor);
  } catch {
    return undefined;
  }
}

/** Node has no public way to the descriptor of a socket. `undefined`: it is closed. */
export function descriptorOf(socket: Socket): number | undefined {
  const descriptor = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle?.fd;
  return descriptor === undefined || descriptor < 0 ? undefined : descriptor;
}
