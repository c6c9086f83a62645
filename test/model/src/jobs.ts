/** The scripts that histories run, and how each must end. */
import type { Ending } from './model.ts';
import { OUTPUT_LIMIT } from './world.ts';

export type JobKind = 'exits' | 'signalled' | 'prints' | 'floods';
export type WaitingKind = 'patient' | 'withChild' | 'stubborn';

/** A job that ends by itself. */
export function ownEnd(kind: JobKind, serial: number): { script: string; ending: Ending } {
  const exitStatus = serial % 200;
  const ended = { exitStatus, reason: 'exited' as const };
  switch (kind) {
    case 'exits':
      return {
        script: `echo out-${serial}; echo err-${serial} >&2; exit ${exitStatus}`,
        ending: { ...ended, stdout: `out-${serial}\n`, stderr: `err-${serial}\n` },
      };
    case 'signalled':
      return {
        script: `echo out-${serial}; kill -KILL $$`,
        ending: { exitStatus: 255, reason: 'signal', signal: 9, stdout: `out-${serial}\n`, stderr: '' },
      };
    case 'prints':
      return {
        script: `printf '%0100000d' ${serial}; printf '%050000d' ${serial} >&2; exit ${exitStatus}`,
        ending: {
          ...ended,
          stdout: String(serial).padStart(100_000, '0'),
          stderr: String(serial).padStart(50_000, '0'),
        },
      };
    case 'floods':
      return {
        script: `while :; do printf '%0${OUTPUT_LIMIT / 10}d' 0; done`,
        ending: { exitStatus: 255, reason: 'output-limit', stderr: '' },
      };
  }
}

/** A job that waits until it is told by SIGUSR1. */
export function waiting(kind: WaitingKind, serial: number): { script: string; told: Ending } {
  const exitStatus = serial % 200;
  const before = kind === 'stubborn' ? "trap '' TERM; " : '';
  const child = kind === 'withChild' ? 'sleep 3600 & ' : '';
  return {
    script: `${before}trap 'echo told-${serial}; exit ${exitStatus}' USR1; ${child}mkfifo /tmp/fifo-${serial}; exec 4<>/tmp/fifo-${serial}; echo ready-${serial}; while :; do read -r -u 4; done`,
    told: {
      exitStatus,
      reason: 'exited',
      stdout: `ready-${serial}\ntold-${serial}\n`,
      stderr: '',
    },
  };
}
