/**
 * Readiness of raw descriptors on Node's event loop.
 *
 * Node sees one epoll descriptor, by one poll handle; everything watched is inside. A poll handle per
 * descriptor would cost more and abort the process on a descriptor that Node itself watches.
 */
import type * as Koffi from 'koffi';
import { checkDescriptor } from './argument-checks.ts';
import { koffi, native } from './load-library.ts';
import { checked, errnoName, nativeFailure } from './native-failure.ts';

const EPOLLIN = 0x1;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;
const HANGUP = EPOLLHUP | EPOLLRDHUP | EPOLLERR;
const EVENTS_PER_POLL = 256;
/** What the kernel says when it has no room for one more watch: the user's share is used up, or there is no memory. */
const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'ENOMEM']);
/** So often what cannot be watched is said to be ready, and the kernel is asked for room again. */
const GUESS_MS = 50;

/** What to wait for. With neither, the watch rests and reports nothing, not even a hang-up. */
export interface PollInterest {
  readonly readable?: boolean;
  readonly writable?: boolean;
}

/**
 * What a descriptor is ready for. With `hangup` (the peer is gone or an error is pending) what was asked for
 * is reported as ready too: a read or write answers at once, with the rest of the data, the end of the file
 * or the error.
 */
export interface PollReady {
  readonly readable: boolean;
  /** There is something to read: false with a hang-up behind which only the end is left. */
  readonly hasData: boolean;
  readonly writable: boolean;
  readonly hangup: boolean;
  /**
   * Nobody knows what it is ready for: there is no room for a watch, and everything is reported that was asked
   * for, with `hangup`, again and again.
   */
  readonly isGuess?: true;
}

/** A running watch. */
export interface PollWatch {
  /** Replaces what is waited for. */
  update(interest: PollInterest): void;
  /** Ends the watch: the listener is not called again. Idempotent. Does not close the descriptor. */
  close(): void;
}

interface Watch {
  interest: number;
  readonly listener: (ready: PollReady) => void;
}

/** One descriptor inside the epoll; several watches may share it. */
interface Registration {
  readonly fd: number;
  readonly cookie: number;
  readonly watches: Set<Watch>;
  /** What the kernel was told; 0: the descriptor is not inside at present. */
  events: number;
  /** Runs while the kernel has no room for it. */
  guessing: NodeJS.Timeout | undefined;
}

const byDescriptor = new Map<number, Registration>();
const byCookie = new Map<number, Registration>();
const readyEvents = new Uint32Array(2 * EVENTS_PER_POLL);
let epollFd = -1;
let handle: ReturnType<typeof Koffi.node.poll> | undefined;
let lastCookie = 0;

/**
 * Calls `listener` while `fd` is ready (level-triggered), from the event loop. The process stays alive as
 * long as a watch exists. Close the watch before the descriptor. A listener that throws ends as an uncaught
 * exception, after the others were called. Where the kernel has no room for the watch it is a guess (see
 * {@link PollReady}) until there is some: a listener finds by a call that does not wait that it is not ready.
 * Errors: `EPERM` for what cannot be polled, as regular files.
 */
export function watchDescriptor(
  fd: number,
  interest: PollInterest,
  listener: (ready: PollReady) => void,
): PollWatch {
  checkDescriptor(fd);
  if (typeof listener !== 'function') throw new TypeError('listener must be a function');
  const watch: Watch = { interest: eventMask(interest), listener };
  let registration = addWatch(fd, watch);
  return {
    update(next: PollInterest): void {
      const events = eventMask(next);
      if (registration === undefined) throw new TypeError('the watch is closed');
      watch.interest = events;
      tellKernel(registration);
    },
    close(): void {
      if (registration === undefined) return;
      removeWatch(registration, watch);
      registration = undefined;
    },
  };
}

function eventMask(interest: PollInterest): number {
  if (typeof interest !== 'object' || interest === null) throw new TypeError('interest must be an object');
  // EPOLLRDHUP only with reading: a writer has no way to make a half-closed peer stop being reported.
  return (
    (interest.readable === true ? EPOLLIN | EPOLLRDHUP : 0) | (interest.writable === true ? EPOLLOUT : 0)
  );
}

function addWatch(fd: number, watch: Watch): Registration | undefined {
  const older = byDescriptor.get(fd);
  if (older !== undefined) dropIfReused(older);
  let registration = byDescriptor.get(fd);
  if (registration === undefined) {
    registration = { fd, cookie: nextCookie(), watches: new Set(), events: 0, guessing: undefined };
    byDescriptor.set(fd, registration);
    byCookie.set(registration.cookie, registration);
  }
  registration.watches.add(watch);
  try {
    tellKernel(registration);
    // Node's own handle takes a watch, too, and there is nothing to hear by it
    if (registration.guessing === undefined) listen(true);
  } catch (error) {
    removeWatch(registration, watch);
    throw error;
  }
  return registration;
}

function removeWatch(registration: Registration, watch: Watch): void {
  registration.watches.delete(watch);
  if (registration.watches.size > 0) {
    // Only when something changes: after a descriptor was closed too early, ending its watches must not fail.
    if (wantedEvents(registration) !== registration.events) tellKernel(registration);
    return;
  }
  stopGuessing(registration);
  byCookie.delete(registration.cookie);
  // Forgotten before: when its number was reused and watched anew, the entry is the new one's.
  if (byDescriptor.get(registration.fd) === registration) {
    byDescriptor.delete(registration.fd);
    if (registration.events !== 0) deleteFromEpoll(registration);
  }
  if (byCookie.size === 0) listen(false);
}

function nextCookie(): number {
  do lastCookie = (lastCookie + 1) >>> 0;
  while (byCookie.has(lastCookie));
  return lastCookie;
}

function wantedEvents(registration: Registration): number {
  let wanted = 0;
  for (const watch of registration.watches) wanted |= watch.interest;
  return wanted;
}

/** Brings the kernel's event mask to the union of what the watches want. */
function tellKernel(registration: Registration): void {
  const wanted = wantedEvents(registration);
  const { fd, cookie, events } = registration;
  if (wanted === 0) {
    stopGuessing(registration);
    if (events !== 0) deleteFromEpoll(registration);
  } else if (events === 0) {
    addToEpoll(registration, wanted);
  } else {
    const result = native().warden_epoll_modify(epoll(), fd, wanted, cookie);
    if (isReused(result)) drop(registration);
    else {
      checked(result, 'epoll-modify', `fd ${fd}`);
      registration.events = wanted;
    }
  }
}

/** ENOENT: the descriptor was closed under its watch, and the number now names another file. */
function isReused(result: number): boolean {
  return result < 0 && errnoName(-result) === 'ENOENT';
}

/** Asks the kernel by telling it what it knows. */
function dropIfReused(registration: Registration): void {
  const { fd, cookie, events } = registration;
  if (events !== 0 && isReused(native().warden_epoll_modify(epoll(), fd, events, cookie))) drop(registration);
}

/** Its watches hear of nothing any more: their file is gone, and the number is that of somebody else's. */
function drop(registration: Registration): void {
  registration.watches.clear();
  registration.events = 0;
  byDescriptor.delete(registration.fd);
  byCookie.delete(registration.cookie);
}

function addToEpoll(registration: Registration, wanted: number): void {
  const { fd, cookie } = registration;
  const result = native().warden_epoll_add(epoll(), fd, wanted, cookie);
  if (result < 0 && NO_ROOM.has(errnoName(-result))) {
    registration.events = 0;
    registration.guessing ??= setInterval(() => guess(registration), GUESS_MS);
    return;
  }
  checked(result, 'epoll-add', `fd ${fd}`);
  registration.events = wanted;
  stopGuessing(registration);
}

/** Nobody hears of a failure here; what is wrong with the descriptor is told to whoever uses it. */
function guess(registration: Registration): void {
  try {
    listen(true); // Node's own handle takes a watch, too
    tellKernel(registration);
  } catch {}
  if (registration.guessing !== undefined) notifyAll(registration, EPOLLIN | EPOLLOUT | EPOLLHUP);
}

function stopGuessing(registration: Registration): void {
  clearInterval(registration.guessing);
  registration.guessing = undefined;
}

function deleteFromEpoll(registration: Registration): void {
  const result = native().warden_epoll_delete(epoll(), registration.fd);
  registration.events = 0;
  // A descriptor that was closed first has left the epoll by itself.
  if (result < 0 && !['EBADF', 'ENOENT'].includes(errnoName(-result))) {
    throw nativeFailure('epoll-delete', `fd ${registration.fd}`, result);
  }
}

function epoll(): number {
  if (epollFd < 0) epollFd = checked(native().warden_epoll_create(), 'epoll-create');
  return epollFd;
}

/** Opens and closes Node's handle, so that the event loop can end when nothing is watched. */
function listen(wanted: boolean): void {
  if (wanted === (handle !== undefined)) return;
  if (wanted) {
    handle = koffi().node.poll(epoll(), { readable: true }, dispatch);
  } else {
    handle?.close();
    handle = undefined;
  }
}

function dispatch(): void {
  const count = checked(native().warden_epoll_poll(epoll(), readyEvents, EVENTS_PER_POLL), 'epoll-wait');
  // Copied: a listener may run other JavaScript that comes back here.
  const ready = readyEvents.slice(0, 2 * count);
  for (let i = 0; i < ready.length; i += 2) {
    const registration = byCookie.get(ready[i]!);
    if (registration === undefined) continue; // closed by a listener called before
    notifyAll(registration, ready[i + 1]!);
  }
  // koffi calls this function as if it were called by JavaScript: from Node 26 on, what listeners have put
  // off (promises, process.nextTick) would wait until the loop has something else to do. Immediates come
  // right behind the descriptors, in the same turn of the loop, and all that was put off with them.
  setImmediate(nothing);
}

function nothing(): void {}

function notifyAll({ watches, guessing }: Registration, events: number): void {
  for (const watch of [...watches]) {
    if (watches.has(watch)) notify(watch, events, guessing !== undefined);
  }
}

function notify(watch: Watch, events: number, isGuess: boolean): void {
  const hangup = (events & (EPOLLHUP | EPOLLERR | (watch.interest & EPOLLRDHUP))) !== 0;
  const readable = (watch.interest & EPOLLIN) !== 0 && (events & (EPOLLIN | HANGUP)) !== 0;
  const writable = (watch.interest & EPOLLOUT) !== 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) !== 0;
  if (watch.interest === 0 || !(hangup || readable || writable)) return;
  try {
    const hasData = readable && (events & EPOLLIN) !== 0;
    watch.listener({ readable, hasData, writable, hangup, ...(isGuess && { isGuess }) });
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
