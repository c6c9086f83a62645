import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isWardenError } from '@warden/interface';
import { afterEach, describe, expect, it } from 'vitest';
import {
  closeDescriptor,
  growPipe,
  makeEventFd,
  makePipe,
  makeSealedMemfd,
  makeSealedMemfdOnThread,
  moveToFile,
  readDescriptor,
  setNonBlocking,
  writeDescriptor,
} from './descriptors.ts';

const opened: number[] = [];
function own(fd: number): number {
  opened.push(fd);
  return fd;
}
afterEach(() => {
  for (const fd of opened.splice(0)) closeDescriptor(fd);
});

function descriptorFlags(fd: number): number {
  const line = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
  return Number.parseInt(line![1]!, 8);
}
const O_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;

describe('descriptors', () => {
  it('lets a pipe hold more, and says what it holds when it cannot', () => {
    const pipe = makePipe();
    own(pipe.read);
    own(pipe.write);
    setNonBlocking(pipe.write);
    expect(writeDescriptor(pipe.write, Buffer.alloc(100_000))).toBe(65_536);
    expect(growPipe(pipe.read, 262_144)).toBe(262_144);
    expect(writeDescriptor(pipe.write, Buffer.alloc(300_000))).toBe(262_144 - 65_536);
    // what is in it does not fit into less
    expect(growPipe(pipe.read, 4_096)).toBe(262_144);
    const event = own(makeEventFd());
    expect(() => growPipe(event, 4_096)).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'EBADF' }) }),
    );
  });

  it('moves bytes through a pipe and tells the end of the file', () => {
    const pipe = makePipe();
    own(pipe.read);
    expect(writeDescriptor(pipe.write, Buffer.from('hello'))).toBe(5);
    closeDescriptor(pipe.write);
    const buffer = Buffer.alloc(16);
    expect(readDescriptor(pipe.read, buffer)).toBe(5);
    expect(buffer.toString('latin1', 0, 5)).toBe('hello');
    expect(readDescriptor(pipe.read, buffer)).toBe(0);
  });

  it('makes pipes blocking and close-on-exec, and sets non-blocking on demand', () => {
    const pipe = makePipe();
    for (const fd of [own(pipe.read), own(pipe.write)]) {
      expect(descriptorFlags(fd) & (O_CLOEXEC | O_NONBLOCK)).toBe(O_CLOEXEC);
      setNonBlocking(fd);
      setNonBlocking(fd);
      expect(descriptorFlags(fd) & O_NONBLOCK).toBe(O_NONBLOCK);
    }
    expect(readDescriptor(pipe.read, Buffer.alloc(1))).toBe(-1);
    const chunk = Buffer.alloc(65536);
    expect(writeDescriptor(pipe.write, chunk)).toBe(65536);
    expect(writeDescriptor(pipe.write, chunk)).toBe(-1);
  });

  it('reports a closed reader as EPIPE with operation and object', () => {
    const pipe = makePipe();
    closeDescriptor(pipe.read);
    own(pipe.write);
    try {
      writeDescriptor(pipe.write, Buffer.of(1));
      expect.unreachable();
    } catch (error) {
      expect(isWardenError(error, 'NATIVE_FAILED')).toBe(true);
      expect(error).toMatchObject({
        message: `write fd ${pipe.write}: Broken pipe (EPIPE)`,
        fields: { operation: 'write', object: `fd ${pipe.write}`, errno: 'EPIPE' },
      });
    }
  });

  it('counts in an event descriptor', () => {
    const fd = own(makeEventFd());
    const value = Buffer.alloc(8);
    expect(readDescriptor(fd, value)).toBe(-1);
    const one = new BigUint64Array([1n]);
    expect(writeDescriptor(fd, new Uint8Array(one.buffer))).toBe(8);
    expect(writeDescriptor(fd, new Uint8Array(one.buffer))).toBe(8);
    expect(readDescriptor(fd, value)).toBe(8);
    expect(new BigUint64Array(new Uint8Array(value).buffer)[0]).toBe(2n);
  });

  it('seals a memory file', () => {
    const fd = own(makeSealedMemfd('rules', Buffer.from('content')));
    const buffer = Buffer.alloc(16);
    expect(readDescriptor(fd, buffer)).toBe(7);
    expect(() => writeDescriptor(fd, Buffer.of(1))).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'EPERM' }) }),
    );
    const empty = own(makeSealedMemfd('empty', new Uint8Array(0)));
    expect(readDescriptor(empty, buffer)).toBe(0);
  });

  it('makes a sealed file on a thread', async () => {
    const content = Buffer.alloc(8 * 1024 * 1024, 'content');
    const making = makeSealedMemfdOnThread('large', content);
    const fd = own(await making);
    const read = readFileSync(`/proc/self/fd/${fd}`);
    expect(read.equals(content)).toBe(true);
    expect(() => writeDescriptor(fd, Buffer.of(1))).toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'EPERM' }) }),
    );
    await expect(makeSealedMemfdOnThread('a\0b', Buffer.of(1))).rejects.toThrow(TypeError);
    await expect(makeSealedMemfdOnThread('n'.repeat(250), Buffer.of(1))).rejects.toThrow(
      expect.objectContaining({ fields: expect.objectContaining({ errno: 'EINVAL' }) }),
    );
  });

  it('treats wrong use as TypeError', () => {
    const pipe = makePipe();
    own(pipe.read);
    closeDescriptor(pipe.write);
    expect(() => closeDescriptor(pipe.write)).toThrow(TypeError);
    expect(() => closeDescriptor(-1)).toThrow(TypeError);
    expect(() => closeDescriptor('3' as never)).toThrow(TypeError);
    expect(() => closeDescriptor(2 ** 31)).toThrow(TypeError);
    expect(() => readDescriptor(pipe.read, new Uint8Array(0))).toThrow(TypeError);
    expect(() => readDescriptor(pipe.read, 'text' as never)).toThrow(TypeError);
    expect(() => writeDescriptor(1.5, Buffer.of(1))).toThrow(TypeError);
    expect(() => makeSealedMemfd('a\0b', Buffer.of(1))).toThrow(TypeError);
  });

  it('leaks nothing', () => {
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 200; i++) {
      const pipe = makePipe();
      closeDescriptor(pipe.read);
      closeDescriptor(pipe.write);
      closeDescriptor(makeEventFd());
      closeDescriptor(makeSealedMemfd('leak', Buffer.of(1)));
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describe('moving a pipe into a file', () => {
  it('puts bytes to their place, tells emptiness and end, and leaves in the pipe what the file refuses', () => {
    const directory = mkdtempSync(join(tmpdir(), 'warden-move-'));
    const file = openSync(join(directory, 'file'), 'w+');
    const full = openSync('/dev/full', 'r+');
    const pipe = makePipe();
    own(pipe.read);
    try {
      expect(moveToFile(pipe.read, { file, offset: 0, limit: 10 })).toBe(-1);
      writeDescriptor(pipe.write, Buffer.from('abcdef'));
      expect(() => moveToFile(pipe.read, { file: full, offset: 0, limit: 10 })).toThrow(/splice/);
      expect(moveToFile(pipe.read, { file, offset: 2, limit: 4 })).toBe(4);
      expect(moveToFile(pipe.read, { file, offset: 6, limit: 10 })).toBe(2);
      closeDescriptor(pipe.write);
      expect(moveToFile(pipe.read, { file, offset: 8, limit: 10 })).toBe(0);
      expect(readFileSync(join(directory, 'file'), 'latin1')).toBe('\0\0abcdef');
      for (const offset of [-1, 0.5, Number.NaN])
        expect(() => moveToFile(pipe.read, { file, offset, limit: 1 })).toThrow(TypeError);
    } finally {
      closeSync(file);
      closeSync(full);
      rmSync(directory, { recursive: true });
    }
  });
});
