import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { failpoints } from './failpoint.ts';
import { CORE_FAILPOINTS } from './failpoint-names.ts';

const KNOWN = ['one', 'two.more', 'wshd.'];

afterEach(() => {
  vi.restoreAllMocks();
});

describe('failpoints (docs/failpoints.md)', () => {
  it('do nothing without a specification, and at names that are not in it', async () => {
    for (const specification of [undefined, '', 'one=error']) {
      const points = failpoints(specification, KNOWN);
      expect(points.pass('two.more')).toBe(undefined);
      points.passSync('two.more');
      expect(points.forProgram('wshd.')).toBe(undefined);
    }
  });

  it('error: throws, naming the place, each time or as often as is said', () => {
    const points = failpoints('one=error,2*two.more=error', KNOWN);
    for (let round = 0; round < 5; round++) {
      expect(() => points.pass('one')).toThrow('failpoint one');
      if (round < 2) expect(() => points.passSync('two.more')).toThrow('failpoint two.more');
      else points.passSync('two.more');
    }
  });

  it('a chain: one term after the other, by their counts', () => {
    const points = failpoints('one=2*off->1*error->1*off->error', KNOWN);
    const outcomes = Array.from({ length: 6 }, () => {
      try {
        points.passSync('one');
        return 'passed';
      } catch {
        return 'failed';
      }
    });
    expect(outcomes).toEqual(['passed', 'passed', 'failed', 'passed', 'failed', 'failed']);
  });

  it('delay: who can wait does, and others go on; who cannot holds up the process', async () => {
    const points = failpoints('one=delay(40)', KNOWN);
    let others = 0;
    const timer = setInterval(() => {
      others += 1;
    }, 1);
    const begun = performance.now();
    await points.pass('one');
    expect(performance.now() - begun).toBeGreaterThan(35);
    expect(others).toBeGreaterThan(0);
    others = 0;
    points.passSync('one');
    clearInterval(timer);
    expect(others).toBe(0);
  });

  it('kill: SIGKILL to the own process', () => {
    const kill = vi.spyOn(process, 'kill').mockImplementation(() => {
      throw new Error('dead');
    });
    expect(() => failpoints('one=1*off->kill', KNOWN).pass('one')).not.toThrow();
    const points = failpoints('one=kill', KNOWN);
    expect(() => points.pass('one')).toThrow('dead');
    expect(kill).toHaveBeenCalledWith(process.pid, 'SIGKILL');
  });

  it('items of another program are handed on as they are', () => {
    const points = failpoints('one=error,2*wshd.cloned=kill wshd.ready=delay(5)', KNOWN);
    expect(points.forProgram('wshd.')).toBe('2*wshd.cloned=kill,wshd.ready=delay(5)');
  });

  it('a file is read again whenever it has changed', () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-failpoints-'));
    const file = path.join(directory, 'points');
    try {
      fs.writeFileSync(file, '');
      const points = failpoints(`@${file}`, KNOWN);
      points.passSync('one');
      fs.writeFileSync(file, '1*one=error\n');
      expect(() => points.passSync('one')).toThrow('failpoint one');
      points.passSync('one');
      fs.writeFileSync(file, 'two.more=error');
      points.passSync('one');
      expect(() => points.passSync('two.more')).toThrow('failpoint two.more');
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });

  it.each([
    ['three=error', 'no failpoint has this name'],
    ['one', 'no failpoint has this name'],
    ['one=explode', 'explode is none of'],
    ['one=delay', 'delay takes'],
    ['one=delay(700000)', 'delay takes'],
    ['one=kill(3)', 'nothing else takes any'],
    ['one=error->', 'is none of'],
  ])('refuses %s, saying why', (specification, reason) => {
    expect(() => failpoints(specification, KNOWN)).toThrow(reason);
  });

  it('the names of the engine are each there once', () => {
    expect(new Set(CORE_FAILPOINTS).size).toBe(CORE_FAILPOINTS.length);
  });
});
