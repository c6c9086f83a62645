/** Why a job ended, in words for the user. */
import os from 'node:os';
import type { ExitVerdict } from '@warden/interface';

const TEXTS: Readonly<Record<Exclude<ExitVerdict['reason'], 'exited' | 'signal'>, string>> = {
  timeout: 'killed, its time limit was over',
  'out-of-memory': 'the container ran out of memory',
  'disk-limit': 'it failed, and the disk limit is reached',
  'output-limit': 'killed, it printed more than is kept for a job',
  'container-stopped': 'the container was stopped',
  'init-lost': "the container's init died, and everything in the container with it",
  internal: "its end could not be collected; the daemon's log says why",
};

/** A line for standard error; nothing for a plain exit, whose status says it all. */
export function exitText(verdict: ExitVerdict | undefined): string | undefined {
  const text = endedText(verdict);
  return text === undefined ? undefined : `job ended: ${text}\n`;
}

/** The same without the beginning of the line. */
export function endedText(verdict: ExitVerdict | undefined): string | undefined {
  if (verdict === undefined || verdict.reason === 'exited') return undefined;
  return verdict.reason === 'signal' ? `killed by ${signalName(verdict.signal)}` : TEXTS[verdict.reason];
}

function signalName(signal: number): string {
  const name = Object.entries(os.constants.signals).find(([, number]) => number === signal)?.[0];
  return name === undefined ? `signal ${signal}` : `signal ${signal} (${name})`;
}
