/** A program whose daemon is gone before it could ask to end with it. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { closeDescriptor, makeSocketPair } from '@warden/native';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tar } from '../test/image-files.ts';
import { isRoot, program } from '../test/registries.ts';

let target: string;

beforeEach(() => {
  target = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-unpack-'));
});
afterEach(() => fs.rmSync(target, { recursive: true, force: true }));

function unpack(hangUp: boolean): readonly string[] {
  const [ours, theirs] = makeSocketPair('seqpacket');
  if (hangUp) closeDescriptor(ours);
  spawnSync(program, ['layer', target, '1000000', '100'], {
    stdio: ['pipe', 'ignore', 'inherit', theirs],
    input: tar([{ name: 'file', content: 'x' }]),
  });
  closeDescriptor(theirs);
  if (!hangUp) closeDescriptor(ours);
  return fs.readdirSync(target);
}

describe.runIf(isRoot)('warden-unpack [needs: root]', () => {
  it('makes nothing for a daemon that has gone', () => {
    expect(unpack(true)).toEqual([]);
    expect(unpack(false)).toEqual(['file']);
  });
});
