import { checkBytes, checkPath } from './argument-checks.ts';
import { native } from './load-library.ts';
import { nativeFailure } from './native-failure.ts';

const INSTRUCTION_BYTES = 8;
/** BPF_MAXINSNS for unprivileged and most privileged uses. */
const MAX_INSTRUCTIONS = 4096;
const LOG_BYTES = 8192;

/**
 * Loads a BPF program of type cgroup-device and attaches it to the cgroup (v2) at `cgroupPath` besides those
 * of others; one that we attached earlier is replaced in the same step. It stays until the cgroup is removed.
 * When the kernel's verifier refuses the program, the last line of its complaint is in `fields.detail`.
 */
export function attachDeviceProgram(cgroupPath: string, instructions: Uint8Array): void {
  checkBytes(instructions, 'instructions', MAX_INSTRUCTIONS * INSTRUCTION_BYTES);
  if (instructions.byteLength === 0 || instructions.byteLength % INSTRUCTION_BYTES !== 0) {
    throw new TypeError('instructions must be whole BPF instructions of 8 bytes');
  }
  const log = Buffer.alloc(LOG_BYTES);
  const path = checkPath(cgroupPath, 'cgroupPath');
  const result = native().warden_attach_device_program(
    path,
    instructions,
    instructions.byteLength,
    log,
    log.length,
  );
  if (result >= 0) return;
  const text = log.toString('latin1', 0, Math.max(0, log.indexOf(0)));
  // The complaint is followed by statistics of the verifier.
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('processed '));
  const detail = lines.at(-1);
  throw nativeFailure('attach-device-program', cgroupPath, result, detail === undefined ? {} : { detail });
}
