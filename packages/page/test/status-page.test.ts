/** What the page answers, to whom, and what that costs. */
import fs from 'node:fs';
import path from 'node:path';
import type { ContainerLook } from '@warden/interface';
import { afterEach, describe, expect, it } from 'vitest';
import { type PageAnswer, StatusPage } from '../src/index.ts';
import type { Status } from '../src/wire.ts';
import { container, FakeSource } from './fake-source.ts';

/** Deadlines for a machine that is busy with something else. */
const SOON = { timeout: 20_000 };

const ASSETS = path.resolve(import.meta.dirname, '../assets');
const pages: StatusPage[] = [];
afterEach(() => Promise.all(pages.splice(0).map((page) => page.close())));

function pageOf(source: FakeSource): StatusPage {
  const page = new StatusPage(source);
  pages.push(page);
  page.begin();
  return page;
}

const ask = (
  page: StatusPage,
  url: string,
  host = 'localhost:9464',
  fetchSite?: string,
): PageAnswer | undefined => page.answer({ url, host, fetchSite });
const statusOf = (page: StatusPage, query = ''): Status =>
  JSON.parse(String(ask(page, `/page/status.json${query}`)!.body)) as Status;

describe('the page', () => {
  it.each([
    ['/', 'text/html; charset=utf-8'],
    ['/page/main.js', 'text/javascript; charset=utf-8'],
    ['/page/style.css', 'text/css; charset=utf-8'],
    ['/page/icon.svg', 'image/svg+xml'],
    ['/page/status.json', 'application/json; charset=utf-8'],
  ])(
    'has %s, and lets a browser load, run, frame and send nothing from or to elsewhere [page policy]',
    (url, type) => {
      const answer = ask(pageOf(new FakeSource()), url)!;
      expect(answer.status).toBe(200);
      expect(answer.headers['Content-Type']).toBe(type);
      const policy = answer.headers['Content-Security-Policy']!.split('; ');
      expect(policy).toEqual(
        expect.arrayContaining([
          "default-src 'none'",
          "frame-ancestors 'none'",
          "base-uri 'none'",
          "form-action 'none'",
          "require-trusted-types-for 'script'",
        ]),
      );
      expect(policy.join(' ')).not.toMatch(/unsafe|data:|https?:|\*/);
      expect(answer.headers).toMatchObject({
        'X-Frame-Options': 'DENY',
        'Referrer-Policy': 'no-referrer',
        'Cross-Origin-Resource-Policy': 'same-origin',
      });
      expect(Object.keys(answer.headers).map((name) => name.toLowerCase())).not.toContain('set-cookie');
    },
  );

  it.each([
    '/index.html',
    '/page',
    '/page/',
    '/page/index.html',
    '/page/../src/index.ts',
    '/page/%2e%2e/package.json',
    '/page//etc/passwd',
    '/page/status.json/',
    '/PAGE/main.js',
    '//page/main.js',
    'http://127.0.0.1/page/main.js',
    '',
    '*',
  ])('has nothing at %j: no path of a request becomes one of the disk', (url) => {
    expect(ask(pageOf(new FakeSource()), url)).toBeUndefined();
  });

  it.each(['localhost', 'LOCALHOST:1', '127.0.0.1', '127.0.0.1:9464', '[::1]:65535'])(
    'is shown to who calls it %s [page rebinding]',
    (host) => {
      expect(ask(pageOf(new FakeSource()), '/page/status.json', host)!.status).toBe(200);
    },
  );

  it.each([
    'evil.example',
    'evil.example:9464',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'evil.example#localhost',
    'localhost@evil.example',
    'localhost:123456',
    '127.0.0.2',
    '10.254.0.1:9464',
    '',
    ' localhost',
    'localhost\u0000',
  ])(
    'is not shown to who calls it %j, which may be a name that its owner has pointed here [page rebinding]',
    (host) => {
      const page = pageOf(new FakeSource(1));
      for (const url of ['/', '/page/main.js', '/page/status.json']) {
        const answer = ask(page, url, host)!;
        expect(answer.status).toBe(403);
        expect(String(answer.body)).not.toMatch(/box-0/);
      }
      expect(page.answer({ url: '/', host: undefined, fetchSite: undefined })!.status).toBe(403);
    },
  );

  it.each(['cross-site', 'same-site', 'nonsense'])(
    'gives a page from elsewhere (%s) nothing but itself to be opened [page rebinding]',
    (site) => {
      const page = pageOf(new FakeSource());
      expect(ask(page, '/page/status.json', 'localhost', site)!.status).toBe(403);
      expect(ask(page, '/page/main.js', 'localhost', site)!.status).toBe(403);
      expect(ask(page, '/', 'localhost', site)!.status).toBe(200);
      expect(ask(page, '/page/status.json', 'localhost', 'same-origin')!.status).toBe(200);
    },
  );

  it.each([
    'order=size',
    'order=cpu&order=memory',
    'down=yes',
    'from=-1',
    'from=1e9',
    'count=0',
    'count=101',
    'count=1.5',
    'other=1',
    `find=${'x'.repeat(257)}`,
    '__proto__=1',
  ])('refuses the query %j', (query) => {
    expect(ask(pageOf(new FakeSource()), `/page/status.json?${query}`)!.status).toBe(400);
  });
});

describe('the files of the page', () => {
  const files = fs.readdirSync(ASSETS);
  const read = (name: string): string => fs.readFileSync(path.join(ASSETS, name), 'utf8');

  it('need no step of building, and are few and small', () => {
    const sizes = files.map((name) => fs.statSync(path.join(ASSETS, name)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(80_000);
    for (const name of files) expect(name).toMatch(/^[a-z]+\.(html|css|js|svg)$/);
  });

  it.each(files)('%s names no other host, and makes no markup of text [page text]', (name) => {
    const text = read(name).replaceAll('http://www.w3.org/2000/svg', '');
    // what is said to people is no address that is asked
    expect(text.replace(/Open this page as .*/, '')).not.toMatch(/https?:|\/\/[a-z]+\./i);
    expect(text).not.toMatch(
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc|\beval\b|new Function|localStorage|cookie/,
    );
    if (name.endsWith('.html'))
      expect(text).not.toMatch(/\sstyle=|\son[a-z]+=|<style|<script(?! type="module" src="\/page\/)/);
  });

  it('import only each other, and all of what the document names is there', () => {
    const named = [...read('index.html').matchAll(/(?:href|src)="\/page\/([^"]+)"/g)].map(([, name]) => name);
    const imported = files
      .filter((name) => name.endsWith('.js'))
      .flatMap((name) => [...read(name).matchAll(/^import .* from '\.\/(.+)';$/gm)].map(([, file]) => file));
    expect(named.length + imported.length).toBeGreaterThan(8);
    expect(files).toEqual(expect.arrayContaining([...named, ...imported]));
  });
});

describe('the numbers', () => {
  it('are of the part that was asked for, in the order that was asked for [page content]', async () => {
    const source = new FakeSource(5);
    source.containers[3] = { ...source.containers[3]!, isPaused: true };
    const page = pageOf(source);
    statusOf(page);
    await expect.poll(() => statusOf(page).times.length, SOON).toBeGreaterThan(0);
    const handles = (query: string): string[] =>
      statusOf(page, query).containers.rows.map(({ handle }) => handle);
    expect(handles('')).toEqual(['box-0', 'box-1', 'box-2', 'box-3', 'box-4']);
    expect(handles('?order=memory&down=1&count=2')).toEqual(['box-4', 'box-3']);
    expect(handles('?order=memory&down=1&count=2&from=2')).toEqual(['box-2', 'box-1']);
    expect(handles('?order=state&down=1')[0]).toBe('box-3');
    expect(handles('?order=name&down=1')[0]).toBe('box-4');
    expect(handles('?find=OX-2')).toEqual(['box-2']);
    const found = statusOf(page, '?find=ox-2');
    expect(found.containers).toMatchObject({ all: 5, found: 1, from: 0 });
    expect(found.containers.rows[0]).toMatchObject({
      usage: { memory: 3_072 },
      limits: { memory: 2 ** 30 },
      memory: [3_072],
      cpu: [null],
    });
    expect(found.jobs).toMatchObject({ all: 1, rows: [{ handle: 'box-2', id: 3 }] });
    expect(statusOf(page, '?from=100').containers.rows).toEqual([]);
  });

  it('order by the jobs that run, which the column shows [page content]', () => {
    const source = new FakeSource(3);
    const job = { startedAt: 1_000, outputBytes: 0 };
    const jobs = (running: number, ended: number): { jobs: readonly ContainerLook['jobs'][number][] } => ({
      jobs: Array.from({ length: running + ended }, (_, at) => ({ ...job, id: at, hasEnded: at >= running })),
    });
    source.containers[0] = { ...source.containers[0]!, ...jobs(0, 5) };
    source.containers[1] = { ...source.containers[1]!, ...jobs(2, 0) };
    const { rows } = statusOf(pageOf(source), '?order=jobs&down=1').containers;
    expect(rows.map(({ handle, jobs }) => [handle, jobs])).toEqual([
      ['box-1', 2],
      ['box-2', 1],
      ['box-0', 0],
    ]);
  });

  it('tell of names as they are, whatever is in them [page text]', () => {
    const source = new FakeSource();
    const names = ['</script><b>', '\u0000\n', '\uD800', '__proto__'];
    source.containers = names.map(container);
    expect(statusOf(pageOf(source)).containers.rows.map(({ handle }) => handle)).toEqual(names);
  });

  it('have the latest events, no more than there is room for [page content]', async () => {
    const source = new FakeSource();
    const page = pageOf(source);
    for (let at = 0; at < 500; at++) source.publish({ type: 'created', handle: `h${at}`, time: at, lost: 0 });
    source.publish({
      type: 'exit',
      handle: 'last',
      time: 1,
      lost: 3,
      jobId: 9,
      exitStatus: 2,
      verdict: { reason: 'exited' },
    });
    await expect.poll(() => statusOf(page).events[0]?.handle, SOON).toBe('last');
    const { events } = statusOf(page);
    expect(events.length).toBe(60);
    expect(events[0]).toMatchObject({ type: 'exit', job: 9, exitStatus: 2, reason: 'exited', number: 504 });
    source.publish({
      type: 'network-denied',
      handle: 'kept',
      time: 2,
      lost: 0,
      destination: '203.0.113.9',
      name: 'example.org',
      protocol: 'tcp',
      port: 443,
      count: 3,
    });
    await expect
      .poll(() => statusOf(page).events[0], SOON)
      .toMatchObject({
        destination: '203.0.113.9',
        name: 'example.org',
        protocol: 'tcp',
        port: 443,
        times: 3,
      });
    expect(statusOf(page, '?find=h499').events).toMatchObject([{ handle: 'h499' }]);
    await page.close();
    expect(source.subscribers).toBe(0);
  });

  it('have a size with a bound, and cost the daemon some milliseconds with a thousand containers [page cost]', async () => {
    const source = new FakeSource(1_000);
    const page = pageOf(source);
    statusOf(page);
    await expect.poll(() => statusOf(page).times.length, { timeout: 20_000 }).toBeGreaterThan(0);
    const durations: number[] = [];
    for (let at = 0; at < 41; at++) {
      // of processor time: a busy machine gives it to others meanwhile
      const begun = process.cpuUsage();
      const { body } = ask(page, `/page/status.json?order=memory&down=1&find=box&count=100&from=${at}`)!;
      const { user, system } = process.cpuUsage(begun);
      durations.push((user + system) / 1_000);
      expect(body.length).toBeLessThan(300_000);
    }
    durations.sort((one, other) => one - other);
    // the median: whatever else the machine does falls on single ones
    expect(durations[20]).toBeLessThan(10);
  });
});
