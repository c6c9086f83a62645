import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLogSink } from './log-sink.ts';

let directory: string;
let file: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-log-'));
  file = path.join(directory, 'log');
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const lines = (): Record<string, unknown>[] =>
  fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('the log [config 2 logging]', () => {
  it('writes one JSON object per line with all keys of the original', () => {
    const { logger, close } = openLogSink({ level: 'info', file });
    logger.child('core', { handle: 'h' }).info('container-created', { id: 'i', size: 5n });
    close();
    const [line] = lines();
    expect(Object.keys(line!)).toEqual([
      'timestamp',
      'message',
      'log_level',
      'source',
      'data',
      'thread_id',
      'fiber_id',
      'process_id',
      'file',
      'lineno',
      'method',
    ]);
    expect(line).toMatchObject({
      message: 'container-created',
      log_level: 'info',
      source: 'core',
      data: { handle: 'h', id: 'i', size: '5' },
      process_id: process.pid,
    });
    expect(Math.abs((line!.timestamp as number) - Date.now() / 1_000)).toBeLessThan(600);
  });

  it.each([
    ['off', []],
    ['fatal', []],
    ['error', ['error']],
    ['warn', ['error', 'warn']],
    ['info', ['error', 'warn', 'info']],
    ['debug', ['error', 'warn', 'info', 'debug']],
    ['debug1', ['error', 'warn', 'info', 'debug']],
    ['debug2', ['error', 'warn', 'info', 'debug', 'debug2']],
    ['all', ['error', 'warn', 'info', 'debug', 'debug2']],
  ])('at level %s writes %j', (level, written) => {
    const { logger, close } = openLogSink({ level, file });
    logger.error('e');
    logger.warn('w');
    logger.info('i');
    logger.debug?.('d');
    logger.trace?.('t');
    close();
    expect(lines().map((line) => line.log_level)).toEqual(written);
  });

  it('appends to what is there', () => {
    for (const event of ['first', 'second']) {
      const { logger, close } = openLogSink({ level: 'info', file });
      logger.info(event);
      close();
    }
    expect(lines().map(({ message }) => message)).toEqual(['first', 'second']);
  });

  it('names a file that cannot be opened', () => {
    expect(() => openLogSink({ level: 'info', file: path.join(directory, 'no/log') })).toThrow(
      /logging\.file: ENOENT.*no\/log/,
    );
  });

  it('says errors with their code, and survives fields that refer to themselves', () => {
    const { logger, close } = openLogSink({ level: 'info', file });
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    logger.info('lost', circle);
    logger.error('failed', { error: new WardenError('TIMEOUT', 'too late'), bytes: new Uint8Array(3) });
    close();
    expect(lines()).toEqual([
      expect.objectContaining({
        data: {
          error: expect.objectContaining({ message: 'too late', code: 'TIMEOUT' }),
          bytes: '<3 bytes>',
        },
      }),
    ]);
  });

  it('writes debug lines of a wanted scope whatever the level', () => {
    const { logger, close } = openLogSink({ level: 'warn', file, debugScopes: ['net'] });
    logger.child('net').child('veth').debug?.('here');
    logger.child('core').debug?.('not here');
    close();
    expect(lines().map(({ message }) => message)).toEqual(['here']);
  });
});
