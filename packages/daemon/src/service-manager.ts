/**
 * What a service manager and its service tell each other, as systemd has it: sd_notify(3),
 * sd_watchdog_enabled(3), sd_listen_fds(3). Without a service manager nothing here does anything.
 */
import { WardenError } from '@warden/interface';
import { closeDescriptor, makeDatagramSocket, sendDatagram } from '@warden/native';

/** The first inherited descriptor that is not a standard stream. */
const FIRST_DESCRIPTOR = 3;
/** While the end is being waited for, this much more is asked for, so often. */
const EXTENSION = { microseconds: 30_000_000, everyMs: 10_000 } as const;

/** A listening socket that the service manager has opened for this process. */
export interface InheritedSocket {
  /** `FileDescriptorName=` of its unit; by default the unit's own name. */
  readonly name: string;
  readonly descriptor: number;
}

/** See the file's head. None of the methods throws or waits. */
export interface ServiceManager {
  readonly sockets: readonly InheritedSocket[];
  /** The service works now; `status` is a line for people. From here on the watchdog is fed. */
  ready(status: string): void;
  /** A reload has begun; {@link ServiceManager.ready} ends it. */
  reloading(): void;
  /** The end has begun. `takesLong`: the manager is asked for patience until the process has ended. */
  stopping(status: string, takesLong?: boolean): void;
  /** Stops feeding the watchdog and closes the socket. Idempotent. */
  close(): void;
}

type Environment = Record<string, string | undefined>;

/**
 * Reads what the service manager has left in the environment, and takes it out: none of it is meant for a
 * program that this one starts. `onTrouble` is told once with the errno when the manager cannot be reached.
 * Errors: `INVALID_SPEC` for numbers that are none.
 */
export function serviceManager(
  environment: Environment,
  onTrouble: (facts: { readonly object: string; readonly errno: string }) => void = () => {},
): ServiceManager {
  const socket = taken(environment, 'NOTIFY_SOCKET');
  const watchdogMs = watchdogPeriod(environment);
  const sockets = inheritedSockets(environment);
  const notifier = socket === undefined ? undefined : new Notifier(socket, onTrouble);
  const timers = new Set<NodeJS.Timeout>();
  const repeat = (action: () => void, everyMs: number): void => {
    timers.add(setInterval(action, everyMs).unref());
  };
  let isReady = false;
  return {
    sockets,
    ready: (status) => {
      notifier?.send(['READY=1', `STATUS=${oneLine(status)}`]);
      if (isReady || notifier === undefined) return;
      isReady = true;
      // twice per period, by a timer of the event loop: a loop that hangs is what the watchdog is there for
      if (watchdogMs !== undefined) repeat(() => notifier.send(['WATCHDOG=1']), watchdogMs / 2);
    },
    reloading: () => {
      // the kernel's monotonic clock, as Type=notify-reload wants it
      notifier?.send(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`]);
    },
    stopping: (status, takesLong = false) => {
      const extend = `EXTEND_TIMEOUT_USEC=${EXTENSION.microseconds}`;
      notifier?.send(['STOPPING=1', `STATUS=${oneLine(status)}`, ...(takesLong ? [extend] : [])]);
      if (takesLong && notifier !== undefined) repeat(() => notifier.send([extend]), EXTENSION.everyMs);
    },
    close: () => {
      for (const timer of timers) clearInterval(timer);
      timers.clear();
      notifier?.close();
    },
  };
}

/** The value, which nobody sees in the environment any more; nothing for an empty one. */
function taken(environment: Environment, name: string): string | undefined {
  const value = environment[name];
  delete environment[name];
  return value === '' ? undefined : value;
}

/** Meant for this very process: a wrapper that forgets to clean up hands its own on. */
function isForUs(pid: string | undefined): boolean {
  return pid === undefined || pid === String(process.pid);
}

function watchdogPeriod(environment: Environment): number | undefined {
  const pid = taken(environment, 'WATCHDOG_PID');
  const period = taken(environment, 'WATCHDOG_USEC');
  if (period === undefined || !isForUs(pid)) return undefined;
  const microseconds = positive('WATCHDOG_USEC', period);
  return microseconds === 0 ? undefined : Math.max(2, microseconds / 1_000);
}

function inheritedSockets(environment: Environment): InheritedSocket[] {
  const pid = taken(environment, 'LISTEN_PID');
  const count = taken(environment, 'LISTEN_FDS');
  const names = taken(environment, 'LISTEN_FDNAMES')?.split(':') ?? [];
  // unlike the watchdog's, this one is always named: descriptors of somebody else must not be taken for sockets
  if (count === undefined || pid !== String(process.pid)) return [];
  return Array.from({ length: positive('LISTEN_FDS', count) }, (_, at) => ({
    name: names[at] ?? 'unknown',
    descriptor: FIRST_DESCRIPTOR + at,
  }));
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new WardenError(
    'INVALID_SPEC',
    `the environment variable ${name} is no number: ${JSON.stringify(text)}`,
    {
      fields: { operation: 'read environment', object: name },
    },
  );
}

/** A newline would begin another assignment. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

/** Sends to the manager's socket. What does not arrive is no reason to do anything else differently. */
class Notifier {
  readonly #address: string;
  readonly #onTrouble: (facts: { readonly object: string; readonly errno: string }) => void;
  #descriptor: number | undefined;
  #isClosed = false;
  #hasComplained = false;

  constructor(
    address: string,
    onTrouble: (facts: { readonly object: string; readonly errno: string }) => void,
  ) {
    this.#address = address;
    this.#onTrouble = onTrouble;
  }

  send(assignments: readonly string[]): void {
    if (this.#isClosed) return;
    let errno: string | undefined;
    try {
      this.#descriptor ??= makeDatagramSocket();
      errno = sendDatagram(this.#descriptor, this.#address, Buffer.from(`${assignments.join('\n')}\n`));
    } catch (error) {
      errno = String((error as WardenError).fields?.errno ?? (error as Error).message);
    }
    if (errno === undefined || this.#hasComplained) return;
    this.#hasComplained = true;
    this.#onTrouble({ object: this.#address, errno });
  }

  close(): void {
    this.#isClosed = true;
    if (this.#descriptor !== undefined) closeDescriptor(this.#descriptor);
    this.#descriptor = undefined;
  }
}
