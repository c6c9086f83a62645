/**
 * The device policy of v2 as a BPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (kernel: bpf.h, struct
 * bpf_cgroup_dev_ctx): three words {access << 16 | type, major, minor} in, 1 or 0 out.
 */
import type { DeviceRule } from '../device-rules.ts';

const INSTRUCTION_BYTES = 8;
/** Opcodes of eBPF (kernel: Documentation/bpf/standardization/instruction-set.rst). */
const LOAD_WORD = 0x61; // dst = *(u32 *)(src + off)
const MOVE = 0xbf;
const MOVE_IMMEDIATE = 0xb7;
const AND_IMMEDIATE = 0x57;
const SHIFT_RIGHT = 0x77;
const JUMP_NOT_EQUAL = 0x55;
const EXIT = 0x95;

const TYPES = { b: 1, c: 2 } as const;
const ACCESS = { m: 1, r: 2, w: 4 } as const;
const ALL_ACCESS = 7;

/** r1 is the context; the program keeps type, access, major and minor in r2 to r5. */
export function deviceProgram(rules: readonly DeviceRule[] | 'all'): Uint8Array {
  const code: number[][] = [];
  const emit = (opcode: number, dst: number, src: number, offset: number, immediate: number): number =>
    code.push([opcode, dst, src, offset, immediate]);
  if (rules !== 'all') {
    emit(LOAD_WORD, 2, 1, 0, 0);
    emit(MOVE, 3, 2, 0, 0);
    emit(AND_IMMEDIATE, 2, 0, 0, 0xffff);
    emit(SHIFT_RIGHT, 3, 0, 0, 16);
    emit(LOAD_WORD, 4, 1, 4, 0);
    emit(LOAD_WORD, 5, 1, 8, 0);
    for (const rule of rules) emitRule(emit, rule);
  }
  emit(MOVE_IMMEDIATE, 0, 0, 0, rules === 'all' ? 1 : 0);
  emit(EXIT, 0, 0, 0, 0);
  return assemble(code);
}

/** Tests one rule after the other; the first that fits answers 1, a test that fails jumps over the rest of its rule. */
function emitRule(
  emit: (opcode: number, dst: number, src: number, offset: number, immediate: number) => void,
  rule: DeviceRule,
): void {
  const allowed = [...rule.access].reduce((bits, letter) => bits | ACCESS[letter as keyof typeof ACCESS], 0);
  const hasMinor = rule.minor !== null;
  // instructions left after each test: the other tests and the two that answer
  const afterMinor = 2;
  const afterMajor = afterMinor + (hasMinor ? 1 : 0);
  const afterAccess = afterMajor + 1;
  const afterType = afterAccess + 3;
  emit(JUMP_NOT_EQUAL, 2, 0, afterType, TYPES[rule.type]);
  emit(MOVE, 6, 3, 0, 0);
  emit(AND_IMMEDIATE, 6, 0, 0, ALL_ACCESS & ~allowed);
  emit(JUMP_NOT_EQUAL, 6, 0, afterAccess, 0);
  emit(JUMP_NOT_EQUAL, 4, 0, afterMajor, rule.major);
  if (hasMinor) emit(JUMP_NOT_EQUAL, 5, 0, afterMinor, rule.minor!);
  emit(MOVE_IMMEDIATE, 0, 0, 0, 1);
  emit(EXIT, 0, 0, 0, 0);
}

function assemble(code: readonly (readonly number[])[]): Uint8Array {
  const bytes = Buffer.alloc(code.length * INSTRUCTION_BYTES);
  for (const [at, [opcode, dst, src, offset, immediate]] of code.entries()) {
    const start = at * INSTRUCTION_BYTES;
    bytes.writeUInt8(opcode!, start);
    bytes.writeUInt8((src! << 4) | dst!, start + 1);
    bytes.writeInt16LE(offset!, start + 2);
    bytes.writeInt32LE(immediate!, start + 4);
  }
  return bytes;
}
