import { afterEach, describe, expect, it, vi } from 'vitest';
import { JobLog, MAX_LINE_BYTES, partialLine, type Syslog } from './job-log.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

/** Takes what it is told to take. */
class Recorder implements Syslog {
  readonly lines: string[] = [];
  isBusy = false;

  send(severity: string, tag: string, line: Uint8Array): boolean {
    if (this.isBusy) return false;
    this.lines.push(`${severity} ${tag} ${Buffer.from(line).toString()}`);
    return true;
  }
}

function logInto(
  syslog: Syslog,
  partial?: { stdout: Buffer; stderr: Buffer },
): { log: JobLog; pressed: Set<string> } {
  const pressed = new Set<string>();
  const onPressure = (stream: string, isPressing: boolean): void => {
    if (isPressing) pressed.add(stream);
    else pressed.delete(stream);
  };
  return { log: new JobLog(syslog, 'tag', { onPressure, ...(partial && { partial }) }), pressed };
}

describe('JobLog', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('sends lines as they become complete, and the last one at the end', () => {
    vi.useFakeTimers({ toFake: ['performance'] }); // a turn has all the time it wants, whatever the machine does
    const recorder = new Recorder();
    const { log } = logInto(recorder);
    log.write('stdout', Buffer.from('one\ntw'));
    log.write('stderr', Buffer.from('error\n'));
    log.write('stdout', Buffer.from('o\n\nlast'));
    expect(recorder.lines).toEqual(['info tag one', 'error tag error', 'info tag two', 'info tag ']);
    log.end();
    expect(recorder.lines.at(-1)).toBe('info tag last');
  });

  it.each([0, 1, 5_000, MAX_LINE_BYTES])(
    'cuts long lines, also %i bytes at a time, without an empty one behind',
    (size) => {
      const recorder = new Recorder();
      const { log } = logInto(recorder);
      const text = Buffer.from(`${'x'.repeat(2 * MAX_LINE_BYTES)}\n${'y'.repeat(MAX_LINE_BYTES + 1)}\nz\n`);
      if (size === 0) log.write('stdout', text);
      else for (let at = 0; at < text.length; at += size) log.write('stdout', text.subarray(at, at + size));
      const settled = async (): Promise<string[]> =>
        recorder.lines.map((line) => line.slice('info tag '.length));
      return expect
        .poll(settled, { timeout: 20_000 })
        .toEqual([
          'x'.repeat(MAX_LINE_BYTES),
          'x'.repeat(MAX_LINE_BYTES),
          'y'.repeat(MAX_LINE_BYTES),
          'y',
          'z',
        ]);
    },
    30_000,
  );

  it('presses on a stream whose lines are not taken, and goes on when they are', async () => {
    const recorder = new Recorder();
    recorder.isBusy = true;
    const { log, pressed } = logInto(recorder);
    log.write('stdout', Buffer.from('a\nb\n'));
    expect([...pressed]).toEqual(['stdout']);
    log.end();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(recorder.lines).toEqual([]);
    recorder.isBusy = false;
    await expect.poll(() => recorder.lines, SOON).toEqual(['info tag a', 'info tag b']);
    expect([...pressed]).toEqual([]);
  });

  it('does not send thousands of lines in one turn of the event loop', async () => {
    const recorder = new Recorder();
    const { log, pressed } = logInto(recorder);
    log.write('stdout', Buffer.from('\n'.repeat(10_000)));
    expect(recorder.lines.length).toBeLessThan(1_000);
    expect([...pressed]).toEqual(['stdout']);
    await expect.poll(() => recorder.lines.length, { timeout: 10_000 }).toBe(10_000);
    expect([...pressed]).toEqual([]);
  });

  it('gives the turn back when sending takes its time', async () => {
    const recorder = new Recorder();
    const { log } = logInto({
      send: (severity, tag, line) => {
        const until = performance.now() + 0.5;
        while (performance.now() < until);
        return recorder.send(severity, tag, line);
      },
    });
    log.write('stdout', Buffer.from('\n'.repeat(200)));
    expect(recorder.lines.length).toBeGreaterThan(0);
    expect(recorder.lines.length).toBeLessThan(20);
    await expect.poll(() => recorder.lines.length, { timeout: 10_000 }).toBe(200);
  });

  it('goes on with the line that an earlier daemon has begun', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const recorder = new Recorder();
    const none = Buffer.alloc(0);
    const { log } = logInto(recorder, { stdout: partialLine(Buffer.from('done\nhalf ')), stderr: none });
    log.write('stdout', Buffer.from('whole\n'));
    expect(recorder.lines).toEqual(['info tag half whole']);
    expect(partialLine(Buffer.from(`x\n${'y'.repeat(MAX_LINE_BYTES)}z`)).toString()).toBe('z');
  });

  it('is sent whole when it is detached: the next daemon begins with the line that is not complete', () => {
    const recorder = new Recorder();
    const { log } = logInto(recorder);
    const lines = Array.from({ length: 2_000 }, (_, at) => `line ${at}`);
    log.write('stdout', Buffer.from(`${lines.join('\n')}\nhalf`));
    expect(recorder.lines.length).toBeLessThan(lines.length);
    log.detach();
    expect(recorder.lines).toEqual(lines.map((line) => `info tag ${line}`));
  });

  it('sends nothing after it was detached', async () => {
    const recorder = new Recorder();
    recorder.isBusy = true;
    const { log } = logInto(recorder);
    log.write('stdout', Buffer.from('a\n'));
    log.detach();
    recorder.isBusy = false;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(recorder.lines).toEqual([]);
  });
});
