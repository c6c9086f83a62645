// The table of containers: a part of them, in the order that was asked for, each with a second row that tells the rest.
import { byId, element, KeyedRows, setAttribute, setHidden, setText } from './dom.js';
import { bytes, count, percent, plural, visible } from './format.js';
import { Meter } from './meter.js';
import { Sparkline, windowOf } from './sparkline.js';

/** @typedef {import('../src/wire.ts').Status} Status */
/** @typedef {import('../src/wire.ts').ContainerRow} ContainerRow */
/** @typedef {{ order: string, isDescending: boolean, find: string, from: number }} View */

const WINDOW_MS = 180_000;
/** Of a limit that few come near to: below this share nothing is drawn. */
const WORTH_DRAWING = 0.25;
export const PAGE_SIZE = 50;

/** @type {readonly { name: string, title: string, order?: string, isNumber?: boolean }[]} */
const COLUMNS = [
  { name: 'name', title: 'Name', order: 'name' },
  { name: 'state', title: 'State', order: 'state' },
  { name: 'address', title: 'Address' },
  { name: 'cpu', title: 'Processor', order: 'cpu', isNumber: true },
  { name: 'memory', title: 'Memory', order: 'memory', isNumber: true },
  { name: 'disk', title: 'Disk', order: 'disk', isNumber: true },
  { name: 'processes', title: 'Processes', order: 'processes', isNumber: true },
  { name: 'jobs', title: 'Jobs', order: 'jobs', isNumber: true },
];

/** @type {Readonly<Record<string, string>>} */
const STATES = { active: 'active', paused: 'paused', stopped: 'stopped', destroying: 'being destroyed' };

/** Usage with its limit, and how far it has come. */
class Gauge {
  /**
   * @param {string} label
   * @param {number} [least] share of the limit from which on it is drawn
   */
  constructor(label, least = 0) {
    this.least = least;
    this.text = element('span', { class: 'figure' });
    this.limit = element('span', { class: 'limit' });
    this.meter = new Meter(label);
    this.node = element(
      'div',
      { class: 'gauge' },
      element('span', { class: 'figures' }, this.text, this.limit),
      this.meter.node,
    );
  }

  /**
   * @param {number | undefined} used
   * @param {number | undefined} limit
   * @param {(value: number | undefined) => string} format
   */
  show(used, limit, format) {
    setText(this.text, format(used));
    setText(this.limit, limit === undefined ? '' : ` of ${format(limit)}`);
    const isDrawn = used !== undefined && limit !== undefined && used >= limit * this.least;
    setHidden(this.meter.node, !isDrawn);
    if (isDrawn) this.meter.show(used, limit, `${format(used)} of ${format(limit)}`);
  }
}

class Row {
  /** @param {ContainerRow} container */
  constructor(container) {
    const details = `details-${container.id}`;
    const name = visible(container.handle);
    this.toggle = element('button', {
      class: 'toggle',
      attributes: { type: 'button', 'aria-expanded': 'false', 'aria-controls': details },
    });
    this.toggle.append(element('span', { class: 'chevron', attributes: { 'aria-hidden': 'true' } }));
    this.toggle.append(element('bdi', { text: name }));
    this.state = element('span', { class: 'badge' });
    this.marks = element('span', { class: 'marks' });
    this.address = element('td', { class: 'address' });
    this.cpuText = element('span', { class: 'figure' });
    this.cpu = new Sparkline('cpu');
    this.memory = new Gauge(`Memory of ${name}`);
    this.memorySpark = new Sparkline('memory');
    this.disk = new Gauge(`Disk of ${name}`);
    this.processes = new Gauge(`Processes of ${name}`, WORTH_DRAWING);
    this.jobs = element('td', { class: 'number' });
    this.main = element(
      'tr',
      {},
      element('th', { class: 'handle', attributes: { scope: 'row' } }, this.toggle),
      element('td', {}, element('div', { class: 'states' }, this.state, this.marks)),
      this.address,
      charted(this.cpu.node, this.cpuText),
      charted(this.memorySpark.node, this.memory.node),
      element('td', { class: 'number' }, this.disk.node),
      element('td', { class: 'number' }, this.processes.node),
      this.jobs,
    );
    this.list = element('dl', { class: 'details' });
    this.more = element(
      'tr',
      { class: 'more', attributes: { id: details } },
      element('td', { attributes: { colspan: String(COLUMNS.length) } }, this.list),
    );
    this.more.hidden = true;
    this.toggle.addEventListener('click', () => {
      this.more.hidden = !this.more.hidden;
      this.toggle.setAttribute('aria-expanded', String(!this.more.hidden));
    });
    this.nodes = [this.main, this.more];
    /** @type {Map<string, HTMLElement>} */
    this.facts = new Map();
  }

  /**
   * @param {ContainerRow} container
   * @param {readonly number[]} times
   */
  update(container, times) {
    const { state, usage, limits, cpu, memory } = container;
    setAttribute(this.state, 'data-state', state);
    setText(this.state, STATES[state] ?? state);
    this.showMarks(container);
    setText(this.address, container.containerIp);
    const windowMs = windowOf(times, WINDOW_MS);
    const now = cpu.at(-1);
    setText(this.cpuText, percent(now));
    const name = visible(container.handle);
    this.cpu.show(times, cpu, {
      windowMs,
      least: 0.1,
      label: inWords('Processor', name, cpu, percent),
    });
    this.memory.show(usage.memory, limits.memory, bytes);
    this.memorySpark.show(times, memory, {
      windowMs,
      least: 1_048_576,
      label: inWords('Memory', name, memory, bytes),
    });
    this.disk.show(usage.disk, limits.disk, bytes);
    this.processes.show(usage.processes, limits.processes, count);
    setText(this.jobs, count(container.jobs));
    this.showFacts(container);
  }

  /** @param {ContainerRow} container */
  showMarks({ events, unsafe }) {
    const words = [...events, ...(unsafe.length > 0 ? ['unsafe'] : [])];
    const key = words.join('\n');
    if (this.marks.dataset.key === key) return;
    this.marks.dataset.key = key;
    this.marks.replaceChildren(
      ...words.map((text) => element('span', { class: 'mark', text: visible(text) })),
    );
  }

  /** @param {ContainerRow} container */
  showFacts({ id, image, hostIp, containerIp, ports, egressRules, limits, unsafe, usage }) {
    const facts = {
      Id: id,
      Image: image === null ? 'a directory of the host' : visible(image),
      'Address inside': containerIp,
      "Host's end": hostIp,
      'Published ports':
        ports.length === 0
          ? 'none'
          : ports.map(({ hostPort, containerPort }) => `${hostPort} to ${containerPort}`).join(', '),
      'Allowed destinations':
        egressRules === 0 ? 'only those of all containers' : plural(egressRules, 'rule', 'rules'),
      'Memory limit': limits.memory === undefined ? 'none' : bytes(limits.memory),
      'Processor shares': limits.cpuShares === undefined ? 'as all' : count(limits.cpuShares),
      'Disk limit': limits.disk === undefined ? 'none' : bytes(limits.disk),
      Bandwidth: limits.bandwidth === undefined ? 'not limited' : `${bytes(limits.bandwidth)}/s`,
      'Process limit': limits.processes === undefined ? 'none' : count(limits.processes),
      'Processor time': usage.cpu === undefined ? '–' : `${(usage.cpu / 1e9).toFixed(1)} s`,
      'Its confinement lacks': unsafe.length === 0 ? 'nothing' : unsafe.map(visible).join(', '),
    };
    for (const [name, text] of Object.entries(facts)) {
      let value = this.facts.get(name);
      if (value === undefined) {
        value = element('dd');
        this.facts.set(name, value);
        this.list.append(element('div', {}, element('dt', { text: name }), value));
      }
      setText(value, text);
    }
  }
}

/**
 * A line over time beside the number of now.
 *
 * @param {Node} line
 * @param {Node} figure
 */
function charted(line, figure) {
  return element('td', { class: 'number' }, element('div', { class: 'charted' }, line, figure));
}

/**
 * @param {string} what
 * @param {string} name
 * @param {readonly (number | null)[]} values
 * @param {(value: number | null | undefined) => string} format
 */
function inWords(what, name, values, format) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return `${what} of ${name} over time: no numbers yet`;
  return `${what} of ${name} over the last minutes: now ${format(known.at(-1))}, highest ${format(Math.max(...known))}`;
}

export class Containers {
  /**
   * @param {View} view
   * @param {() => void} onChange somebody wants to see something else
   */
  constructor(view, onChange) {
    this.view = view;
    this.onChange = onChange;
    /** @type {readonly number[]} */
    this.times = [];
    /** @type {KeyedRows<ContainerRow, Row>} */
    this.rows = new KeyedRows(byId('containers-rows'), {
      key: ({ id }) => id,
      make: (item) => new Row(item),
      update: (row, item) => row.update(item, this.times),
    });
    /** @type {{ cell: HTMLElement, order: string }[]} */
    this.heads = [];
    for (const column of COLUMNS) this.addHead(column);
    const find = /** @type {HTMLInputElement} */ (byId('find'));
    find.addEventListener('input', () => this.change({ find: find.value, from: 0 }));
    byId('pager-back').addEventListener('click', () =>
      this.change({ from: Math.max(0, this.view.from - PAGE_SIZE) }),
    );
    byId('pager-on').addEventListener('click', (event) => {
      const { currentTarget } = event;
      if (currentTarget instanceof Element && currentTarget.getAttribute('aria-disabled') !== 'true')
        this.change({ from: this.view.from + PAGE_SIZE });
    });
    this.markHeads();
  }

  /** @param {(typeof COLUMNS)[number]} column */
  addHead({ title, order, isNumber }) {
    const cell = element('th', { attributes: { scope: 'col' }, ...(isNumber && { class: 'number' }) });
    if (order === undefined) cell.textContent = title;
    else {
      const button = element('button', { class: 'sort', text: title, attributes: { type: 'button' } });
      button.addEventListener('click', () => this.sortBy(order, isNumber === true));
      cell.append(button);
      this.heads.push({ cell, order });
    }
    byId('containers-head').append(cell);
  }

  /**
   * First the way that is looked for most, then the other way, then as they were created.
   *
   * @param {string} order
   * @param {boolean} isNumber
   */
  sortBy(order, isNumber) {
    const { view } = this;
    if (view.order !== order) this.change({ order, isDescending: isNumber, from: 0 });
    else if (view.isDescending === isNumber) this.change({ isDescending: !isNumber, from: 0 });
    else this.change({ order: 'created', isDescending: false, from: 0 });
    this.markHeads();
  }

  markHeads() {
    for (const { cell, order } of this.heads) {
      const isBy = this.view.order === order;
      setAttribute(cell, 'aria-sort', isBy ? (this.view.isDescending ? 'descending' : 'ascending') : 'none');
    }
  }

  /** @param {Partial<View>} changes */
  change(changes) {
    Object.assign(this.view, changes);
    this.onChange();
  }

  /** @param {Status} status */
  show({ containers, times, phase }) {
    const { all, found, from, rows } = containers;
    this.times = times;
    this.rows.show(rows);
    const { find } = this.view;
    setText(
      byId('containers-count'),
      all === 0
        ? ''
        : find === ''
          ? plural(all, 'container', 'containers')
          : `${count(found)} of ${count(all)}`,
    );
    const empty = byId('containers-empty');
    setHidden(byId('containers-table'), found === 0);
    setHidden(empty, found > 0);
    if (found === 0)
      setText(
        empty,
        all > 0
          ? `No container has “${visible(find)}” in its name.`
          : phase === 'starting'
            ? 'The daemon is starting. Containers of the one before it are taken over.'
            : 'There are no containers. What is created shows up here by itself.',
      );
    this.showPager(found, from, rows.length);
  }

  /**
   * @param {number} found
   * @param {number} from
   * @param {number} shown
   */
  showPager(found, from, shown) {
    // the part that was looked at may have gone with its containers
    if (shown === 0 && found > 0) this.change({ from: Math.floor((found - 1) / PAGE_SIZE) * PAGE_SIZE });
    setHidden(byId('pager'), found <= PAGE_SIZE);
    setText(byId('pager-text'), `${count(from + 1)} to ${count(from + shown)} of ${count(found)}`);
    setDisabled('pager-back', from === 0);
    setDisabled('pager-on', from + shown >= found);
  }
}

/**
 * With the focus on it, a button that has done all it can keeps the focus.
 *
 * @param {string} id
 * @param {boolean} isDisabled
 */
function setDisabled(id, isDisabled) {
  setAttribute(byId(id), 'aria-disabled', String(isDisabled));
}
