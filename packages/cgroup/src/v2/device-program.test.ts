import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { attachDeviceProgram } from '@warden/native';
import { describe, expect, it } from 'vitest';
import { DEVICE_RULES, type DeviceRule } from '../device-rules.ts';
import { deviceProgram } from './device-program.ts';

const BLOCK = 1;
const CHARACTER = 2;
const [MKNOD, READ, WRITE] = [1, 2, 4];

/** The few eBPF instructions the program may consist of, carried out as the kernel's document says. */
function run(program: Uint8Array, type: number, access: number, major: number, minor: number): number {
  const code = Buffer.from(program);
  const context = [(access << 16) | type, major, minor];
  const registers = new Array<number>(11).fill(0);
  for (let at = 0; at < code.length / 8; at++) {
    const [opcode, both] = [code[at * 8]!, code[at * 8 + 1]!];
    const [target, source] = [both & 0xf, both >> 4];
    const [offset, immediate] = [code.readInt16LE(at * 8 + 2), code.readInt32LE(at * 8 + 4)];
    if (opcode === 0x95) return registers[0]!;
    if (opcode === 0x61 && source === 1) registers[target] = context[offset / 4]!;
    else if (opcode === 0xbf) registers[target] = registers[source]!;
    else if (opcode === 0xb7) registers[target] = immediate;
    else if (opcode === 0x57) registers[target]! &= immediate;
    else if (opcode === 0x77) registers[target]! >>>= immediate;
    else if (opcode === 0x55) at += registers[target] === immediate ? 0 : offset;
    else throw new Error(`instruction ${opcode.toString(16)} at ${at}`);
  }
  throw new Error('the program runs over its end');
}

describe('the device program', () => {
  const program = deviceProgram(DEVICE_RULES);

  it.each(DEVICE_RULES)('allows reading and writing $type $major:$minor, nothing more', (rule) => {
    const verdict = (type: number, access: number): number =>
      run(program, type, access, rule.major, rule.minor ?? 12);
    for (const access of [READ, WRITE, READ | WRITE]) expect(verdict(CHARACTER, access)).toBe(1);
    for (const access of [MKNOD, MKNOD | READ, MKNOD | READ | WRITE])
      expect(verdict(CHARACTER, access)).toBe(0);
    expect(verdict(BLOCK, READ)).toBe(0);
  });

  it('denies everything else', () => {
    const allowed = (major: number, minor: number): boolean =>
      DEVICE_RULES.some((rule) => rule.major === major && (rule.minor ?? minor) === minor);
    for (let major = 0; major < 260; major++)
      for (const minor of [0, 1, 2, 3, 5, 7, 8, 9, 11, 64, 229, 65_536])
        expect([major, minor, run(program, CHARACTER, READ, major, minor)]).toEqual([
          major,
          minor,
          allowed(major, minor) ? 1 : 0,
        ]);
  });

  it('lets everything pass where all devices are allowed', () => {
    expect(run(deviceProgram('all'), BLOCK, MKNOD | READ | WRITE, 8, 0)).toBe(1);
  });

  it('tells rules that differ in access apart', () => {
    const readOnly = { type: 'b', major: 8, minor: null, access: 'r' } as unknown as DeviceRule;
    expect(run(deviceProgram([readOnly]), BLOCK, READ, 8, 3)).toBe(1);
    expect(run(deviceProgram([readOnly]), BLOCK, READ | WRITE, 8, 3)).toBe(0);
  });
});

const unified = fs
  .readFileSync('/proc/self/mountinfo', 'utf8')
  .split('\n')
  .find((line) => line.includes(' - cgroup2 '))
  ?.split(' ')[4];

describe.runIf(process.getuid?.() === 0 && unified !== undefined)(
  'the device program in the kernel [needs: root, cgroup2]',
  () => {
    it.each([
      ['the list', deviceProgram(DEVICE_RULES), 'null=0 full=0 kmsg=1 mknod=1'],
      ['everything', deviceProgram('all'), 'null=0 full=0 kmsg=0 mknod=0'],
    ])('enforces %s', (_name, program, expected) => {
      const group = `${unified}/warden-device-program-${process.pid}`;
      fs.mkdirSync(group);
      try {
        attachDeviceProgram(group, program);
        const script = `
        echo 0 > ${group}/cgroup.procs || exit 9
        try() { name=$1; shift; "$@" 2>/dev/null; echo "$name=$?"; }
        node=$(mktemp -u /tmp/warden-node-XXXXXX)
        try null sh -c ': < /dev/null' | tr '\\n' ' '
        try full sh -c ': < /dev/full' | tr '\\n' ' '
        try kmsg sh -c 'exec 3< /dev/kmsg || exit 1' | sed 's/=[^0].*/=1/' | tr '\\n' ' '
        try mknod mknod "$node" c 1 3
        rm -f "$node"`;
        const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
        expect([stdout.trim(), stderr]).toEqual([expected, '']);
      } finally {
        fs.rmdirSync(group);
      }
    });
  },
);
