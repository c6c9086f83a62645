/** What happens to containers, for whoever subscribes. (An extension: the original's daemon tells nobody.) */
import type { ExitVerdict } from './warden.ts';

/** What every event has. */
export interface EventBase {
  readonly handle: string;
  /** Milliseconds since 1970, by the daemon's clock. */
  readonly time: number;
  /** Events of this subscription that were dropped just before this one, because they were not read in time. */
  readonly lost: number;
}

/** Something that happened to a container. */
export type ContainerEvent = EventBase &
  (
    | { readonly type: 'created' | 'stopped' | 'destroyed' | 'paused' | 'resumed' | 'properties' }
    /** A job has ended. */
    | {
        readonly type: 'exit';
        readonly jobId: number;
        readonly exitStatus: number;
        readonly verdict: ExitVerdict;
      }
    /** The kernel has killed something in the container for its memory limit; the container stops. */
    | { readonly type: 'oom' }
    /** A limit was set; `value` in the unit of its setter. */
    | {
        readonly type: 'limit';
        readonly limit: 'memory' | 'cpu' | 'disk' | 'bandwidth';
        readonly value: bigint;
      }
    /** A job printed more than is kept of it, and was killed. */
    | { readonly type: 'output-limit'; readonly jobId: number }
    /** The container was kept from reaching something: so many times since the last such event about the same. */
    | {
        readonly type: 'network-denied';
        /** The address; absent for a name that was not looked up. */
        readonly destination?: string;
        /** The name that it asked for; with `destination`, what that leads to, and must not. */
        readonly name?: string;
        /** `any`: on this host only how many packets were refused is known. */
        readonly protocol: 'tcp' | 'udp' | 'icmp' | 'dns' | 'any';
        /** Of TCP and UDP. */
        readonly port?: number;
        readonly count: number;
      }
  );

/** The kinds of events. */
export type ContainerEventType = ContainerEvent['type'];

/** Every kind, for checks and help texts. */
export const EVENT_TYPES: readonly ContainerEventType[] = [
  'created',
  'stopped',
  'destroyed',
  'paused',
  'resumed',
  'properties',
  'exit',
  'oom',
  'limit',
  'output-limit',
  'network-denied',
];

/** Which events. Absent fields admit everything. */
export interface EventFilter {
  readonly handle?: string | undefined;
  readonly types?: readonly ContainerEventType[] | undefined;
  /** Containers that have all of these, when it happens. */
  readonly properties?: Readonly<Record<string, string>> | undefined;
  /** Ends the subscription: the step in progress then fails with `ABORTED`. */
  readonly signal?: AbortSignal | undefined;
}
