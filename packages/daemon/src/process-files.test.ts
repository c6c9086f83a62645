import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { listenForHealthChecks } from './health-check.ts';
import { imagesLock, lockImages } from './images-lock.ts';
import { writePidfile } from './pidfile.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'warden-process-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

describe('the pidfile (behaviour 12)', () => {
  it('holds pid and newline, and goes away', () => {
    const file = path.join(directory, 'wardend.pid');
    const remove = writePidfile(file);
    expect(fs.readFileSync(file, 'utf8')).toBe(`${process.pid}\n`);
    remove();
    remove();
    expect(fs.existsSync(file)).toBe(false);
  });
  it('refuses a file that names a living process, and replaces a stale one', () => {
    const file = path.join(directory, 'wardend.pid');
    fs.writeFileSync(file, `${process.ppid}\n`);
    expect(() => writePidfile(file)).toThrow(new RegExp(`running process ${process.ppid}`));
    const { pid } = spawnSync('true');
    fs.writeFileSync(file, `${pid}\n`);
    writePidfile(file)();
    expect(fs.readdirSync(directory)).toEqual([]);
  });
  it('replaces a file whose number another process has got since, as after a reboot', () => {
    const file = path.join(directory, 'wardend.pid');
    const write = (secondsAgo: number): void => {
      fs.writeFileSync(file, `${process.ppid}\n`);
      const then = Date.now() / 1_000 - secondsAgo;
      fs.utimesSync(file, then, then);
    };
    write(os.uptime() + 60); // before this machine was started
    writePidfile(file)();
    write(0);
    expect(() => writePidfile(file)).toThrow(/running process/);
  });
  it('replaces a file that names one that was killed, and whose parent has not looked yet', async () => {
    const file = path.join(directory, 'wardend.pid');
    // the child ends when the shell has become a program that asks for no children: shells do now and then
    const parent = spawn('sh', ['-c', 'exec 3<&0; cat <&3 & echo $!; exec sleep 600 3<&-'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      const [line] = await once(parent.stdout, 'data');
      const pid = String(line).trim();
      const program = () => fs.readFileSync(`/proc/${parent.pid}/comm`, 'latin1').trim();
      await vi.waitFor(() => expect(program()).toBe('sleep'), 10_000);
      parent.stdin.end();
      const state = () => fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]![0];
      await vi.waitFor(() => expect(state()).toBe('Z'), 10_000);
      fs.writeFileSync(file, `${pid}\n`);
      writePidfile(file);
      expect(fs.readFileSync(file, 'utf8')).toBe(`${process.pid}\n`);
    } finally {
      parent.kill();
    }
  });
  it('names a path that cannot be written', () => {
    expect(() => writePidfile('/nonexistent/dir/wardend.pid')).toThrow(/\/nonexistent\/dir\/wardend\.pid/);
  });
});

describe('the lock of the images', () => {
  it("is one daemon's at a time, and names the key and who has it", () => {
    const images = path.join(directory, 'deep/images');
    const lock = lockImages(images);
    expect(fs.statSync(images).mode & 0o777).toBe(0o700);
    expect(() => lockImages(images)).toThrow(
      expect.objectContaining({
        code: 'ALREADY_EXISTS',
        message: expect.stringMatching(new RegExp(`pid ${process.pid}.*images\\.path`)),
        fields: { operation: 'lock images', object: images, pid: process.pid },
      }),
    );
    lock.release();
    lock.release();
    lockImages(images).release();
    // by another way, too
    const link = path.join(directory, 'link');
    fs.symlinkSync(images, link);
    const again = lockImages(link);
    expect(() => lockImages(images)).toThrow(/images\.path/);
    again.release();
    // not before it is needed
    const later = imagesLock(path.join(directory, 'later'));
    later.release();
    expect(fs.existsSync(path.join(directory, 'later'))).toBe(false);
    later.take();
    later.take();
    expect(() => imagesLock(path.join(directory, 'later')).take()).toThrow(/belong to a running wardend/);
    later.release();
    lockImages(path.join(directory, 'later')).release();
  });
  it('names the key when the directory cannot be made', () => {
    const images = path.join(directory, 'file/images');
    fs.writeFileSync(path.dirname(images), '');
    expect(() => lockImages(images)).toThrow(
      expect.objectContaining({ code: 'INVALID_SPEC', message: expect.stringContaining('images.path') }),
    );
  });
});

describe('the health check (behaviour 12)', () => {
  it('answers 200 to whatever arrives and closes', async () => {
    const free = net.createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port } = free.address() as net.AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const close = await listenForHealthChecks(port);
    try {
      const response = await fetch(`http://127.0.0.1:${port}/`);
      expect([response.status, await response.text()]).toEqual([200, '']);
      const elsewhere = net.connect(port, '127.0.0.2');
      await expect(once(elsewhere, 'connect'), 'not there alone').rejects.toMatchObject({
        code: 'ECONNREFUSED',
      });
      await expect(listenForHealthChecks(port)).rejects.toMatchObject({
        code: 'ALREADY_EXISTS',
        message: expect.stringContaining(String(port)),
      });
    } finally {
      await close();
    }
  });
});
