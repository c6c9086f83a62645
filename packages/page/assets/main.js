// Asks the daemon how things stand, again and again while somebody looks, and says so when it does not answer.
import { Containers, PAGE_SIZE } from './containers.js';
import { byId, setAttribute, setHidden, setText } from './dom.js';
import { bytes, clock, duration, plural } from './format.js';
import { Events, Jobs } from './lists.js';
import { Tiles } from './tiles.js';

/** @typedef {import('../src/wire.ts').Status} Status */

/** How long an answer may take. */
const PATIENCE_MS = 8_000;
const LONGEST_WAIT_MS = 10_000;
/** Between two keys of somebody who types. */
const TYPING_MS = 150;

/** @type {Readonly<Record<string, string>>} */
const PHASES = { starting: 'starting', ready: 'ready', draining: 'going away' };

const view = { order: 'created', isDescending: false, find: '', from: 0 };
const tiles = new Tiles();
const containers = new Containers(view, () => askIn(TYPING_MS));
const jobs = new Jobs();
const events = new Events();

/** @type {number | undefined} */
let timer;
/** @type {AbortController | undefined} */
let asking;
let failures = 0;
let answeredAt = 0;
let waitMs = 2_000;

/** @param {number} delayMs */
function askIn(delayMs) {
  clearTimeout(timer);
  timer = setTimeout(ask, delayMs);
}

async function ask() {
  clearTimeout(timer);
  asking?.abort();
  if (document.hidden) return; // nobody looks; the daemon need not count
  const own = new AbortController();
  asking = own;
  try {
    const status = await fetchStatus(own.signal);
    if (asking !== own) return;
    failures = 0;
    answeredAt = Date.now();
    waitMs = status.totals.length < 2 ? 700 : status.periodMs;
    show(status);
  } catch (error) {
    if (asking !== own) return; // another question has taken its place
    failures += 1;
    waitMs = Math.min(LONGEST_WAIT_MS, 1_000 * 2 ** Math.min(failures - 1, 4));
    showFailure(error);
  }
  askIn(waitMs);
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<Status>}
 */
async function fetchStatus(signal) {
  const words = new URLSearchParams({
    order: view.order,
    down: view.isDescending ? '1' : '0',
    find: view.find,
    from: String(view.from),
    count: String(PAGE_SIZE),
  });
  const response = await fetch(`/page/status.json?${words}`, {
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
  });
  if (!response.ok) throw new Refused(response.status);
  return await response.json();
}

class Refused extends Error {
  /** @param {number} status */
  constructor(status) {
    super(`status ${status}`);
    this.status = status;
  }
}

/** @param {Status} status */
function show(status) {
  setAttribute(document.documentElement, 'data-phase', status.phase);
  setText(byId('phase'), PHASES[status.phase] ?? status.phase);
  setText(
    byId('facts'),
    [
      `version ${status.version}`,
      `up ${duration(status.upSeconds)}`,
      plural(status.host.processors, 'processor', 'processors'),
      bytes(status.host.memory),
      `the daemon takes ${bytes(status.daemon.memory)}`,
    ].join(' · '),
  );
  setHidden(byId('alarm'), true);
  setAttribute(byId('main'), 'data-old', 'false');
  tiles.show(status);
  containers.show(status);
  jobs.show(status);
  events.show(status);
}

/** @param {unknown} error */
function showFailure(error) {
  const isRefused = error instanceof Refused;
  setAttribute(document.documentElement, 'data-phase', 'gone');
  setText(byId('phase'), isRefused ? 'refuses' : 'gone');
  setText(byId('alarm'), isRefused ? refusalInWords(error.status) : goneInWords());
  setHidden(byId('alarm'), false);
  setAttribute(byId('main'), 'data-old', 'true');
}

function goneInWords() {
  const since =
    answeredAt === 0
      ? 'The daemon does not answer.'
      : `The daemon does not answer since ${clock(answeredAt)}; what is below is as it was then.`;
  return `${since} Containers and their jobs go on without it. This page tries again by itself.`;
}

/** @param {number} status */
function refusalInWords(status) {
  if (status === 404) return 'The daemon answers, but shows its page no more: monitoring.page is off.';
  return `The daemon answers, but refuses to tell (status ${status}). Open this page as http://localhost or http://127.0.0.1.`;
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void ask();
});
void ask();
