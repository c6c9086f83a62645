// Jobs and events.
import { byId, element, KeyedRows, setAttribute, setHidden, setText } from './dom.js';
import { bytes, clock, count, duration, plural, visible } from './format.js';

/** @typedef {import('../src/wire.ts').Status} Status */
/** @typedef {import('../src/wire.ts').JobRow} JobRow */
/** @typedef {import('../src/wire.ts').EventRow} EventRow */

class JobLine {
  /** @param {JobRow} job */
  constructor({ id, handle }) {
    this.state = element('span', { class: 'badge' });
    this.since = element('td', { class: 'number' });
    this.output = element('td', { class: 'number' });
    this.nodes = [
      element(
        'tr',
        {},
        element('th', { text: String(id), attributes: { scope: 'row' } }),
        element('td', { class: 'name' }, element('bdi', { text: visible(handle) })),
        element('td', {}, this.state),
        this.since,
        this.output,
      ),
    ];
  }

  /**
   * @param {JobRow} job
   * @param {number} now
   */
  update({ hasEnded, startedAt, outputBytes }, now) {
    setAttribute(this.state, 'data-state', hasEnded ? 'stopped' : 'active');
    setText(this.state, hasEnded ? 'ended, not taken' : 'running');
    setText(
      this.since,
      hasEnded ? '–' : startedAt === null ? 'since an earlier daemon' : duration((now - startedAt) / 1_000),
    );
    setText(this.output, bytes(outputBytes));
  }
}

export class Jobs {
  constructor() {
    this.now = 0;
    /** @type {KeyedRows<JobRow, JobLine>} */
    this.rows = new KeyedRows(byId('jobs-rows'), {
      key: ({ id, handle }) => `${id} ${handle}`,
      make: (job) => new JobLine(job),
      update: (row, job) => row.update(job, this.now),
    });
  }

  /** @param {Status} status */
  show({ jobs, time }) {
    this.now = time;
    this.rows.show(jobs.rows);
    setText(
      byId('jobs-count'),
      jobs.all > jobs.rows.length ? `the newest ${count(jobs.rows.length)} of ${count(jobs.all)}` : '',
    );
    showEmpty('jobs', jobs.rows.length === 0, 'No jobs.');
  }
}

/** @type {Readonly<Record<string, string>>} */
const PLAIN = {
  created: 'created',
  stopped: 'stopped',
  destroyed: 'destroyed',
  paused: 'paused',
  resumed: 'resumed',
  properties: 'properties changed',
  oom: 'out of memory',
};

/** @param {EventRow} event */
function denialInWords({ destination, name, protocol, port, times }) {
  if (protocol === 'any')
    return `${plural(times ?? 1, 'packet', 'packets')} refused (this host only counts them)`;
  const where = [name, destination].filter((text) => text !== undefined).join(' at ');
  const how = `${protocol ?? ''}${port === undefined ? '' : ` ${port}`}`;
  return `kept from ${where} (${how})${(times ?? 1) > 1 ? `, ${count(times)} times` : ''}`;
}

/** @param {EventRow} event */
function inWords(event) {
  const { type, job, exitStatus, reason, limit, value } = event;
  switch (type) {
    case 'network-denied':
      return denialInWords(event);
    case 'exit':
      return reason === 'exited'
        ? `job ${job} exited with ${exitStatus}`
        : `job ${job} ended: ${String(reason).replaceAll('-', ' ')}`;
    case 'output-limit':
      return `job ${job} printed more than is kept`;
    case 'limit':
      return `${limit} limited to ${limitInWords(limit, value ?? 0)}`;
    default:
      return PLAIN[type] ?? type.replaceAll('-', ' ');
  }
}

/**
 * @param {string | undefined} limit
 * @param {number} value
 */
function limitInWords(limit, value) {
  switch (limit) {
    case 'memory':
      return bytes(value);
    case 'disk':
      return bytes(value * 1_024);
    case 'bandwidth':
      return `${bytes(value)}/s`;
    case 'cpu':
      return plural(value, 'share', 'shares');
    default:
      return count(value);
  }
}

/** @param {EventRow} event */
function levelOf({ type, reason, exitStatus }) {
  if (type === 'oom' || type === 'output-limit') return 'bad';
  if (type === 'network-denied') return 'odd';
  if (type === 'exit') return reason === 'exited' && exitStatus === 0 ? 'good' : 'odd';
  return 'plain';
}

class EventLine {
  /** @param {EventRow} event */
  constructor(event) {
    const time = element('time', {
      text: clock(event.time),
      attributes: { datetime: new Date(event.time).toISOString() },
    });
    this.nodes = [
      element(
        'tr',
        { attributes: { 'data-level': levelOf(event) } },
        element('td', { class: 'time' }, time),
        element('td', { class: 'name' }, element('bdi', { text: visible(event.handle) })),
        element('td', { class: 'what', text: visible(inWords(event)) }),
      ),
    ];
  }
}

export class Events {
  constructor() {
    /** @type {KeyedRows<EventRow, EventLine>} */
    this.rows = new KeyedRows(byId('events-rows'), {
      key: ({ number, time }) => `${number} ${time}`,
      make: (event) => new EventLine(event),
      update: () => {},
    });
  }

  /** @param {Status} status */
  show({ events }) {
    this.rows.show(events);
    showEmpty('events', events.length === 0, 'Nothing has happened since the daemon began.');
  }
}

/**
 * @param {string} name
 * @param {boolean} isEmpty
 * @param {string} text
 */
function showEmpty(name, isEmpty, text) {
  const node = byId(`${name}-empty`);
  setHidden(node, !isEmpty);
  setText(node, text);
  const table = byId(`${name}-rows`).closest('table');
  if (table !== null) setHidden(table, isEmpty);
}
