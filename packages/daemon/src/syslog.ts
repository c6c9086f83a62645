/**
 * Lines of jobs to syslog, as `logger(1)` sends them to a local socket: one datagram per line,
 * `<priority>time tag: line`. The daemon must never wait for a log: what the socket does not take for a while
 * is dropped, and said once.
 */
import type { Syslog } from '@warden/core';
import type { Logger, WardenError } from '@warden/interface';
import { makeDatagramSocket, sendDatagram } from '@warden/native';

const DEFAULT_SOCKET = '/dev/log';
/** Facility user: informational and error. */
const PRIORITIES = { info: '<14>', error: '<11>' } as const;
const MAX_TAG_BYTES = 256;
/** How long a full queue (ten datagrams, by the kernel's default) may slow jobs with a log tag down. */
const PATIENCE_MS = 1_000;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const NUL = Buffer.from('#000');

/** Sends to `socket`, by default the system's. */
export function openSyslog(socket: string | null | undefined, logger: Logger): Syslog {
  const path = socket ?? DEFAULT_SOCKET;
  const send = syslogSender(path);
  const warned = new Set<string>();
  /** Since when its queue has been full without a break. */
  let fullSince: number | undefined;
  return {
    send: (severity, tag, line) => {
      const errno = send(PRIORITIES[severity], syslogTag(tag), line);
      if (errno === 'EAGAIN') {
        fullSince ??= performance.now();
        if (performance.now() - fullSince < PATIENCE_MS) return false;
      } else {
        fullSince = undefined;
      }
      if (errno === undefined || warned.has(errno)) return true;
      warned.add(errno);
      logger.warn('syslog-lines-dropped', {
        object: path,
        errno,
        advice: 'lines of jobs with a log tag are missing there; output of jobs is not affected',
      });
      return true;
    },
  };
}

/**
 * Sends one line with priority and tag; answers the errno of a line that was dropped. One descriptor is taken
 * with the first line and kept.
 */
export function syslogSender(
  path: string = DEFAULT_SOCKET,
): (priority: string, tag: string, line: Uint8Array) => string | undefined {
  let descriptor: number | undefined;
  return (priority, tag, line) => {
    const head = `${priority}${timestamp(new Date())} ${tag}: `;
    try {
      descriptor ??= makeDatagramSocket();
    } catch (error) {
      return String((error as WardenError).fields.errno);
    }
    return sendDatagram(descriptor, path, Buffer.concat([Buffer.from(head, 'latin1'), withoutNul(line)]));
  };
}

/**
 * `warden.<tag>`, of printable characters without blanks: nothing a client chooses can end the tag or begin
 * another line.
 */
export function syslogTag(tag: string): string {
  return `warden.${printableTag(tag)}`;
}

/** A tag of printable characters without blanks. */
export function printableTag(tag: string): string {
  return tag.replace(/[^\x21-\x7e]/gu, '_').slice(0, MAX_TAG_BYTES);
}

/** Many receivers stop at the first NUL; this is how rsyslog writes one. */
function withoutNul(line: Uint8Array): Uint8Array {
  if (!line.includes(0)) return line;
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let at = line.indexOf(0); at !== -1; at = line.indexOf(0, start)) {
    parts.push(line.subarray(start, at), NUL);
    start = at + 1;
  }
  parts.push(line.subarray(start));
  return Buffer.concat(parts);
}

/** Local time as `Nov  5 07:08:09` (RFC 3164). */
function timestamp(now: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = String(now.getDate()).padStart(2, ' ');
  return `${MONTHS[now.getMonth()]} ${day} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}
