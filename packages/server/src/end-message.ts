/** How a job ended, as the wire tells it. */
import type { ExitVerdict } from '@warden/interface';

/**
 * What says more than a status is left out where the status says it all: those answers are, byte for byte,
 * the original's.
 */
export function endMessage({
  exitStatus,
  verdict,
}: {
  readonly exitStatus: number;
  readonly verdict?: ExitVerdict | undefined;
}): { readonly exit_status: number; readonly exit_reason?: string; readonly exit_signal?: number } {
  if (verdict === undefined || (verdict.reason === 'exited' && exitStatus !== 255))
    return { exit_status: exitStatus };
  const signal = 'signal' in verdict ? verdict.signal : undefined;
  return {
    exit_status: exitStatus,
    exit_reason: verdict.reason,
    ...(signal === undefined ? {} : { exit_signal: signal }),
  };
}
