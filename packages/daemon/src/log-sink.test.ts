import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WardenError } from '@warden/interface';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLogSink } from './log-sink.ts';
import { RequestContext } from './request-context.ts';

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

  it('tells what failed besides, as the undoing of a failed step', () => {
    const { logger, close } = openLogSink({ level: 'all', file });
    const besides = new WardenError('NATIVE_FAILED', 'the link is in use', { fields: { object: 'w-1' } });
    logger.warn('failed', { error: new WardenError('INTERNAL', 'no', { suppressed: [besides] }) });
    logger.warn('failed', { error: besides });
    close();
    const errors = lines().map(({ data }) => (data as { error: object }).error);
    expect(errors).toMatchObject([
      {
        message: 'no',
        suppressed: [{ code: 'NATIVE_FAILED', message: 'the link is in use', fields: { object: 'w-1' } }],
      },
      { message: 'the link is in use' },
    ]);
    expect(errors[1]).not.toHaveProperty('suppressed');
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

describe('lines for people [operations logs]', () => {
  it('have time, level, source, event and facts', () => {
    const { logger, close } = openLogSink({ level: 'info', file, format: 'text' });
    const error = new WardenError('BAD_STATE', 'no\nway', { fields: { handle: 'h' } });
    logger
      .child('core')
      .warn('event-name', { word: 'a/b:c', text: 'two words', n: 5n, list: [1], none: undefined });
    logger.error('failed', { error });
    close();
    const [first, second, ...more] = fs.readFileSync(file, 'utf8').split('\n');
    expect(first).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warn {2}core event-name word=a\/b:c text="two words" n=5 list=\[1\]$/,
    );
    expect(second).toMatch(/Z error wardend failed error=\{"name":"WardenError","message":"no\\nway",/);
    expect(more).toEqual(['']);
  });
});

describe('a log that changes [operations SIGHUP]', () => {
  it('takes level and format for loggers that are in use, and opens its file again', () => {
    const sink = openLogSink({ level: 'info', file });
    const logger = sink.logger.child('deep').child('down');
    expect(logger.debug).toBeUndefined();
    fs.renameSync(file, `${file}.1`);
    sink.reconfigure({ level: 'debug', file });
    logger.debug?.('one');
    sink.reconfigure({ level: 'error', file, format: 'text' });
    logger.warn('two');
    logger.error('three');
    expect(logger.debug).toBeUndefined();
    sink.close();
    expect(fs.readFileSync(`${file}.1`, 'utf8')).toBe('');
    expect(fs.readFileSync(file, 'utf8')).toMatch(/"message":"one".*\n.*error deep\.down three\n$/);
  });

  it('stays as it is when the new file cannot be opened', () => {
    const sink = openLogSink({ level: 'info', file });
    expect(() => sink.reconfigure({ level: 'debug', file: '/nonexistent/log' })).toThrow(/logging\.file/);
    sink.logger.info('here');
    expect(sink.logger.debug).toBeUndefined();
    sink.close();
    expect(lines()).toHaveLength(1);
  });
});

describe('the id of a request [operations request ids]', () => {
  it('is in each line that is written because of it, and in no other', async () => {
    const context = new RequestContext();
    context.configure({ level: 'debug', format: 'json', request_ids: 'auto' }, []);
    const { logger, close } = openLogSink({ level: 'info', file, requestId: () => context.current() });
    const driver = logger.child('network');
    driver.info('before');
    await Promise.all(
      ['c1.1', 'c2.1'].map((id) =>
        context.enclose(id, async () => {
          await new Promise((resolve) => setImmediate(resolve));
          driver.info(id);
        }),
      ),
    );
    driver.info('after');
    close();
    const ids = lines().map(({ message, data }) => [message, (data as { request_id?: string }).request_id]);
    expect(ids).toEqual([
      ['before', undefined],
      ['c1.1', 'c1.1'],
      ['c2.1', 'c2.1'],
      ['after', undefined],
    ]);
  });

  it.each([
    ['never', 'debug', undefined],
    ['always', 'warn', 'x'],
    ['auto', 'debug2', 'x'],
    ['auto', 'info', Number(process.versions.node.split('.')[0]) >= 24 ? 'x' : undefined],
  ] as const)('%s at level %s is %s', (request_ids, level, expected) => {
    const context = new RequestContext();
    context.configure({ level, format: 'json', request_ids }, []);
    expect(context.enclose('x', () => context.current())).toBe(expected);
    context.configure({ level, format: 'json', request_ids: 'never' }, []);
    expect(context.enclose('x', () => context.current())).toBeUndefined();
  });
});
