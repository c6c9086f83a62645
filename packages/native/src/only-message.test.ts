import fs from 'node:fs';
import { expect, it, vi } from 'vitest';
import { closeDescriptor } from './descriptors.ts';
import { native } from './load-library.ts';
import { receiveOnlyMessage } from './only-message.ts';
import { makeSocketPair, sendMessage } from './sockets.ts';

const sockets = (): number =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // that of the listing
    }
  }).length;

it('answers the message, closes the socket and what came with it', async () => {
  const before = sockets();
  const [ours, theirs] = makeSocketPair('seqpacket');
  const message = receiveOnlyMessage(ours, 100);
  sendMessage(theirs, Buffer.from('done'), [theirs]);
  expect((await message)?.toString()).toBe('done');
  closeDescriptor(theirs);
  expect(sockets()).toBe(before);
});

it('answers nothing where the other side ends without a word, or says too much', async () => {
  const [ours, theirs] = makeSocketPair('seqpacket');
  const nothing = receiveOnlyMessage(ours, 100);
  closeDescriptor(theirs);
  expect(await nothing).toBeUndefined();
  const [mine, wordy] = makeSocketPair('seqpacket');
  const tooMuch = receiveOnlyMessage(mine, 100);
  sendMessage(wordy, Buffer.alloc(101));
  expect(await tooMuch).toBeUndefined();
  closeDescriptor(wordy);
});

it.each(['warden_epoll_add', 'warden_set_nonblocking'] as const)(
  'never rejects, and its socket is closed where %s fails',
  async (name) => {
    const failing = vi.spyOn(native(), name).mockReturnValue(-1); // EPERM
    const before = sockets();
    try {
      const [ours, theirs] = makeSocketPair('seqpacket');
      expect(await receiveOnlyMessage(ours, 100)).toBeUndefined();
      closeDescriptor(theirs);
      expect(sockets()).toBe(before);
    } finally {
      failing.mockRestore();
    }
  },
);
