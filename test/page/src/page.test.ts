/**
 * The status page as people see it: a real daemon with real containers, in Debian's Chromium, which is in a
 * network of its own with the daemon. Pictures of what was seen are kept in `reports/page`.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WardenClient } from '@warden/client';
import {
  describeWith,
  forensics,
  makePlace,
  remainingLeaks,
  startDaemon,
  type TestDaemon,
  type TestPlace,
  takeInventory,
} from '@warden/test-harness';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Browser } from './browser.ts';
import { Tab } from './tab.ts';

const PORT = 9_464;
const PAGE = `http://127.0.0.1:${PORT}/`;
const REPORTS = fileURLToPath(new URL('../../../reports/page/', import.meta.url));
/** A name that would be a picture with a script if it were taken for markup, and one that turns what follows around. */
const MARKUP = '<img src=x onerror="document.title=`taken`">';
const TURNED = 'gpj.\u202Etxt';
const config = {
  monitoring: { port: PORT, page: true },
  user: { pool_size: 128 },
  server: { quota: { disk_quota_enabled: true } },
};

describeWith(['root', 'isolated', 'overlayfs', 'cgroup-memory', 'chromium'], 'the page in a browser', () => {
  let place: TestPlace;
  let daemon: TestDaemon;
  let before: ReturnType<typeof takeInventory>;
  let browser: Browser;
  let tab: Tab;
  let warden: WardenClient;
  beforeAll(async () => {
    fs.rmSync(REPORTS, { recursive: true, force: true });
    fs.mkdirSync(REPORTS, { recursive: true });
    place = await makePlace();
    before = takeInventory(place);
    daemon = await startDaemon({ place, config });
    warden = await daemon.connect();
    browser = Browser.start(place.network.host);
    tab = await Tab.open(browser);
    await tab.look({ scheme: 'light', width: 1_360, height: 900 });
  });
  afterEach(async (context) => {
    if (context.task.result?.state !== 'fail') return;
    await keep('failed.png', true).catch(() => {});
    process.stderr.write(`${forensics(place)}\n`);
  });
  afterAll(async () => {
    await browser?.close();
    try {
      await daemon.stop();
      expect(await remainingLeaks(place, before)).toEqual([]);
    } finally {
      await daemon.kill();
      await place.remove();
    }
  });

  const keep = async (name: string, isWhole = false): Promise<void> =>
    fs.writeFileSync(path.join(REPORTS, name), await tab.picture(isWhole));
  const text = (selector: string): Promise<string> =>
    tab.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`);
  const names = (): Promise<readonly string[]> =>
    tab.evaluate(`[...document.querySelectorAll('#containers-rows th bdi')].map((one) => one.textContent)`);
  const focusOn = (selector: string): Promise<unknown> =>
    tab.evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`);
  /** Text whose contrast with what is behind it is below the 4.5 that WCAG asks for (AA). */
  const faint = (): Promise<readonly string[]> => tab.evaluate(`(${findFaintText})()`);

  it('says that there are no containers [page empty]', async () => {
    await tab.go(PAGE);
    await tab.until(`document.querySelector('#phase').textContent === 'ready'`);
    expect(await text('#containers-empty')).toMatch(/^There are no containers/);
    expect(await text('#jobs-empty')).toBe('No jobs.');
    expect(await text('#events-empty')).toBe('Nothing has happened since the daemon began.');
    expect(await tab.evaluate(`document.querySelector('#containers-table').checkVisibility()`)).toBe(false);
    await keep('empty.png');
  });

  it('shows containers, limits, usage over time, jobs and events by itself [page content]', async () => {
    const web = await warden.create({ handle: 'web-frontend' });
    await web.limitMemory(64n << 20n);
    await web.limitCpu(512n);
    await web.limitDisk({ blockHard: 65_536n });
    await web.netIn({ hostPort: 61_080, containerPort: 8_080 });
    await web.netOut({ network: '203.0.113.2', port: 443 });
    await web.spawn('while :; do for i in 1 2 3 4 5 6 7 8 9; do x=$((i * i)); done; sleep 0.02; done');
    const build = await warden.create({ handle: 'build-4711' });
    await build.limitMemory(32n << 20n);
    await build.spawn('x=$(head -c 12000000 /dev/zero | tr "\\0" a); sleep 600 & wait; echo $x');
    await build.run('exit 3');
    const held = await warden.create({ handle: 'held' });
    await held.spawn('sleep 600');
    await held.pause();
    const starved = await warden.create({ handle: 'starved' });
    await starved.limitMemory(8n << 20n);
    await starved.run('x=a; while true; do x=$x$x; done');
    const gone = await warden.create({ handle: 'gone' });
    await gone.destroy();
    for (const handle of [MARKUP, TURNED]) await warden.create({ handle });

    await tab.until(`document.querySelectorAll('#containers-rows th').length === 6`);
    // usage is drawn once there are some rounds of it
    await tab.until(
      `(document.querySelector('#containers-rows .spark.cpu .line').getAttribute('d').match(/L/g) ?? []).length >= 6`,
      60_000,
    );
    const row = await tab.evaluate<string>(
      `[...document.querySelectorAll('#containers-rows tr')].find((one) => one.innerText.includes('build-4711')).innerText`,
    );
    expect(row).toMatch(/active[\s\S]*10\.254\.\d+\.\d+[\s\S]*\d+\.\d MiB of 32\.0 MiB[\s\S]*1$/);
    const states = await tab.evaluate<readonly string[]>(
      `[...document.querySelectorAll('#containers-rows .badge')].map((one) => one.textContent)`,
    );
    expect(states).toEqual(['active', 'active', 'paused', 'stopped', 'active', 'active']);
    expect(await text('#containers-rows .mark')).toBe('out of memory');
    expect(await text('#tiles')).toMatch(
      /Containers\s+6[\s\S]*Jobs\s+\d[\s\S]*Processor[\s\S]*%[\s\S]*Memory/,
    );
    expect(await text('#tiles')).toMatch(/User ids\s+6 of 128/);
    expect(
      await tab.evaluate(
        `document.querySelector('#containers-rows .spark.memory').getAttribute('aria-label')`,
      ),
    ).toMatch(/^Memory of web-frontend over the last minutes: now [\d.]+ [KM]iB, highest/);
    expect(await text('#jobs-rows')).toMatch(
      /held\s+running[\s\S]*build-4711\s+running[\s\S]*web-frontend\s+running/,
    );
    const events = await text('#events-rows');
    for (const what of [
      /gone\s+destroyed/,
      /starved\s+out of memory/,
      /held\s+paused/,
      /build-4711\s+job \d+ exited with 3/,
      /web-frontend\s+memory limited to 64\.0 MiB/,
      /web-frontend\s+created/,
    ])
      expect(events).toMatch(what);
  });

  it('takes nothing that a container is called for markup, and shows what would not be seen [page text]', async () => {
    expect(await names()).toEqual(expect.arrayContaining([MARKUP, 'gpj.<202E>txt']));
    expect(await tab.evaluate(`document.title`)).toBe('warden');
    expect(await tab.evaluate(`document.querySelectorAll('main img, main script, main iframe').length`)).toBe(
      0,
    );
  });

  it('tells the rest of a container to who opens its row, by keyboard too [page keyboard]', async () => {
    await focusOn('#containers-rows .toggle');
    await tab.press('Enter');
    const details = await text('#containers-rows tr.more');
    expect(details).toMatch(/Published ports\s+61080 to 8080/);
    expect(details).toMatch(/Memory limit\s+64\.0 MiB/);
    expect(details).toMatch(/Disk limit\s+64\.0 MiB/);
    expect(details).toMatch(/Processor shares\s+512/);
    expect(details).toMatch(/Allowed destinations\s+1 rule/);
    const time = await tab.evaluate<string>(`document.querySelector('#facts').textContent`);
    await tab.until(`document.querySelector('#facts').textContent !== ${JSON.stringify(time)}`);
    expect(await tab.evaluate(`document.activeElement.getAttribute('aria-expanded')`), 'focus lasts').toBe(
      'true',
    );
    await keep('page-light.png', true);
  });

  it('is legible in light and in dark, wide and narrow [page contrast]', async () => {
    expect(await faint(), 'light').toEqual([]);
    await tab.look({ scheme: 'dark', width: 1_360, height: 900 });
    expect(await faint(), 'dark').toEqual([]);
    await keep('page-dark.png', true);
    await tab.look({ scheme: 'dark', width: 420, height: 900 });
    expect(
      await tab.evaluate(`document.documentElement.scrollWidth <= innerWidth`),
      'only tables scroll sideways',
    ).toBe(true);
    await keep('page-narrow.png', true);
    await tab.look({ scheme: 'light', width: 1_360, height: 900 });
    await focusOn('#containers-rows .toggle');
    await tab.press('Enter');
  });

  it('has a name for everything that is used or measured [page accessibility]', async () => {
    const { nodes } = (await tab.send('Accessibility.getFullAXTree')) as {
      nodes: { role?: { value: string }; name?: { value: string }; ignored: boolean }[];
    };
    const present = nodes.filter(({ ignored }) => !ignored);
    const of = (role: string): readonly (string | undefined)[] =>
      present.filter((node) => node.role?.value === role).map(({ name }) => name?.value);
    for (const role of [
      'button',
      'searchbox',
      'meter',
      'table',
      'region',
      'image',
      'link',
      'columnheader',
      'rowheader',
    ])
      for (const name of of(role)) expect(name, role).not.toBe('');
    expect(of('searchbox')).toEqual(['Find']);
    expect(of('columnheader')).toEqual(expect.arrayContaining(['Name', 'Processor', 'Memory']));
    expect(of('rowheader')).toEqual(expect.arrayContaining(['web-frontend']));
    expect(of('meter')).toEqual(expect.arrayContaining(['Memory of web-frontend']));
  });

  it('sorts, finds and turns pages of many containers [page many]', async () => {
    const many = Array.from({ length: 55 }, (_, at) => `worker-${String(at).padStart(2, '0')}`);
    for (const handle of many) await warden.create({ handle });
    await tab.until(`document.querySelector('#pager-text').textContent === '1 to 50 of 61'`);
    await focusOn('#pager-on');
    await tab.press('Enter');
    await tab.until(`document.querySelectorAll('#containers-rows th').length === 11`);
    expect((await names()).at(-1)).toBe('worker-54');

    await focusOn('#containers-head .sort');
    await tab.press('Enter');
    await tab.until(`document.querySelectorAll('#containers-rows th').length === 50`);
    await tab.until(`document.querySelector('#containers-rows bdi').textContent.startsWith('<img')`);
    expect(await tab.evaluate(`document.querySelector('#containers-head th').ariaSort`)).toBe('ascending');
    await tab.press(' ');
    await tab.until(`document.querySelector('#containers-rows bdi').textContent === 'worker-54'`);
    expect(await tab.evaluate(`document.querySelector('#containers-head th').ariaSort`)).toBe('descending');

    await focusOn('#find');
    await tab.type('WORKER-1');
    await tab.until(`document.querySelectorAll('#containers-rows th').length === 10`);
    expect(await text('#containers-count')).toBe('10 of 61');
    expect(await names()).toEqual(many.slice(10, 20).toReversed());
    await tab.type('nobody');
    await tab.until(`document.querySelector('#containers-empty').checkVisibility()`);
    expect(await text('#containers-empty')).toBe('No container has “WORKER-1nobody” in its name.');
    await tab.evaluate(`document.querySelector('#find').value = ''`);
    await tab.evaluate(`document.querySelector('#find').dispatchEvent(new Event('input'))`);
    await tab.until(`document.querySelectorAll('#containers-rows th').length === 50`);
  });

  it('says when the daemon is gone, and goes on with the next one [page gone]', async () => {
    await daemon.kill();
    await tab.until(`document.querySelector('#alarm').checkVisibility()`);
    expect(await text('#alarm')).toMatch(
      /^The daemon does not answer since \d\d:\d\d:\d\d; what is below is as it was then\. Containers and their jobs go on without it/,
    );
    expect(await text('#phase')).toBe('gone');
    expect((await names()).length, 'what was known stays in sight').toBe(50);
    expect(await faint()).toEqual([]);
    await keep('gone.png');
    daemon = await startDaemon({ place, config });
    warden = await daemon.connect();
    await tab.until(`!document.querySelector('#alarm').checkVisibility()`, 60_000);
    await tab.until(`document.querySelector('#phase').textContent === 'ready'`);
    expect(await text('#jobs-rows')).toMatch(/since an earlier daemon/);
  });

  it('asks nobody but the daemon, and breaks no rule of its own policy [page policy]', async () => {
    expect([...new Set(tab.requests.map((url) => new URL(url).origin))]).toEqual([new URL(PAGE).origin]);
    expect(tab.complaints).toEqual([]);
    const refused = await tab.evaluate<string>(
      `(() => { try { document.body.innerHTML = '<b>x</b>'; return 'taken'; } catch (error) { return error.name; } })()`,
    );
    expect(refused, 'the browser itself refuses markup made of text').toBe('TypeError');
  });

  it('gives nothing to another site: neither by a name that is pointed here, nor across origins [page rebinding]', async () => {
    const foreign = await Tab.open(browser);
    await foreign.go(`http://rebound.test:${PORT}/`);
    expect(await foreign.evaluate(`document.body.innerText`)).toMatch(
      /^this page is shown under the names localhost/,
    );
    // what is served there for everybody has no policy that would keep it from trying
    await foreign.go(`http://rebound.test:${PORT}/health`);
    const attempt = (url: string): Promise<string> =>
      foreign.evaluate(
        `fetch('${url}').then(async (response) => response.status + ' ' + await response.text(), (error) => error.name)`,
      );
    expect(await attempt('/page/status.json'), 'by its own name').toMatch(/^403 this page is shown under/);
    expect(await attempt(`${PAGE}page/status.json`), 'across origins').toBe('TypeError');
  });

  it('is drawn from small answers, and its pictures are kept [page cost]', async () => {
    const size = await tab.evaluate<number>(
      `fetch('/page/status.json').then((response) => response.text()).then((text) => text.length)`,
    );
    expect(size).toBeLessThan(200_000);
    for (const name of ['empty', 'page-light', 'page-dark', 'page-narrow', 'gone'])
      expect(
        fs
          .readFileSync(path.join(REPORTS, `${name}.png`))
          .subarray(1, 4)
          .toString(),
        name,
      ).toBe('PNG');
  });
});

/** Runs in the page. */
function findFaintText(): readonly string[] {
  interface Colour {
    r: number;
    g: number;
    b: number;
    a: number;
  }
  const parse = (text: string): Colour => {
    const [r = 0, g = 0, b = 0, a = 1] = (text.match(/[\d.]+/g) ?? []).map(Number);
    return { r, g, b, a };
  };
  const over = (top: Colour, below: Colour): Colour => {
    const mix = (one: number, other: number): number => one * top.a + other * (1 - top.a);
    return { r: mix(top.r, below.r), g: mix(top.g, below.g), b: mix(top.b, below.b), a: 1 };
  };
  const luminance = ({ r, g, b }: Colour): number => {
    const [red = 0, green = 0, blue = 0] = [r, g, b]
      .map((value) => value / 255)
      .map((value) => (value <= 0.039_28 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  // the page's types of the browser are not those of the tests
  // biome-ignore lint/suspicious/noExplicitAny: see above
  const { document, getComputedStyle, NodeFilter } = globalThis as any;
  const found: string[] = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement: parent, textContent } = walker.currentNode;
    if (textContent.trim() === '' || !parent.checkVisibility() || parent.closest('.unseen, .skip')) continue;
    // what is shown as a memory only is dimmed on purpose
    if (parent.closest('[data-old="true"], [aria-disabled="true"]')) continue;
    const grounds: Colour[] = [];
    for (let one = parent; one !== null; one = one.parentElement)
      grounds.push(parse(getComputedStyle(one).backgroundColor));
    const ground = grounds.reduceRight((below, one) => over(one, below), { r: 255, g: 255, b: 255, a: 1 });
    const [light = 0, dark = 0] = [
      luminance(over(parse(getComputedStyle(parent).color), ground)),
      luminance(ground),
    ].sort((one, other) => other - one);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${textContent.trim().slice(0, 40)}`);
  }
  return [...new Set(found)];
}
