// The overview: all containers together.
import { byId, element, setText } from './dom.js';
import { bytes, count, percent, plural } from './format.js';
import { Meter } from './meter.js';
import { Sparkline, spanOf, windowOf } from './sparkline.js';

/** @typedef {import('../src/wire.ts').Status} Status */

const WINDOW_MS = 900_000;
/** @type {Readonly<Record<string, string>>} */
const POOLS = { network: 'Networks', uid: 'User ids', port: 'Ports' };

class Tile {
  /**
   * @param {string} title
   * @param {string} colour
   */
  constructor(title, colour) {
    this.title = title;
    this.value = element('p', { class: 'value', text: '–' });
    this.more = element('p', { class: 'more' });
    this.spark = new Sparkline(colour);
    this.node = element(
      'li',
      { class: 'tile' },
      element('h3', { text: title }),
      this.value,
      this.more,
      this.spark.node,
    );
  }

  /**
   * @param {{ readonly value: string, readonly more: string, readonly values: readonly number[], readonly least: number }} what
   * @param {readonly number[]} times
   * @param {(value: number) => string} format
   */
  show({ value, more, values, least }, times, format) {
    setText(this.value, value);
    setText(this.more, more);
    const label =
      values.length === 0
        ? `${this.title} over time: no numbers yet`
        : `${this.title} over the last ${plural(Math.max(1, Math.round(spanOf(times) / 60_000)), 'minute', 'minutes')}: now ${value}, highest ${format(Math.max(...values))}`;
    this.spark.show(times, values, {
      windowMs: windowOf(times, WINDOW_MS),
      least,
      label,
    });
  }
}

class PoolsTile {
  constructor() {
    this.list = element('dl', { class: 'pools' });
    /** @type {Map<string, { meter: Meter, text: HTMLElement }>} */
    this.pools = new Map();
    this.node = element('li', { class: 'tile' }, element('h3', { text: 'Pools' }), this.list);
  }

  /** @param {Readonly<Record<string, { readonly used: number, readonly limit: number }>>} pools */
  show(pools) {
    for (const [name, { used, limit }] of Object.entries(pools)) {
      const title = POOLS[name] ?? name;
      let pool = this.pools.get(name);
      if (pool === undefined) {
        pool = { meter: new Meter(title), text: element('span') };
        this.pools.set(name, pool);
        this.list.append(element('dt', { text: title }), element('dd', {}, pool.text, pool.meter.node));
      }
      const text = `${count(used)} of ${count(limit)}`;
      setText(pool.text, text);
      pool.meter.show(used, limit, text);
    }
  }
}

export class Tiles {
  constructor() {
    this.containers = new Tile('Containers', 'count');
    this.jobs = new Tile('Jobs', 'count');
    this.cpu = new Tile('Processor', 'cpu');
    this.memory = new Tile('Memory', 'memory');
    this.pools = new PoolsTile();
    byId('tiles').append(
      this.containers.node,
      this.jobs.node,
      this.cpu.node,
      this.memory.node,
      this.pools.node,
    );
  }

  /** @param {Status} status */
  show({ numbers, totals, host }) {
    if (numbers === null) return;
    const times = totals.map(({ time }) => time);
    const last = totals.at(-1);
    const { active, stopped, destroying } = numbers.containers;
    const all = active + stopped + destroying;
    const others = [
      stopped > 0 ? `${count(stopped)} stopped` : '',
      destroying > 0 ? `${count(destroying)} being destroyed` : '',
      numbers.prepared > 0 ? `${count(numbers.prepared)} prepared` : '',
    ].filter((text) => text !== '');
    this.containers.show(
      {
        value: count(all),
        more: others.length > 0 ? others.join(', ') : `${count(numbers.totals.created)} created so far`,
        values: totals.map((one) => one.containers),
        least: 1,
      },
      times,
      count,
    );
    this.jobs.show(
      {
        value: count(numbers.jobs),
        more: `${count(numbers.totals.jobsStarted)} started so far`,
        values: totals.map((one) => one.jobs),
        least: 1,
      },
      times,
      count,
    );
    this.cpu.show(
      {
        value: percent(last === undefined || totals.length < 2 ? null : last.cpu),
        more: `of ${plural(host.processors, 'processor', 'processors')}`,
        values: totals.slice(1).map((one) => one.cpu),
        least: 0.1,
      },
      times,
      percent,
    );
    const kills = numbers.totals.outOfMemoryKills;
    this.memory.show(
      {
        value: bytes(last?.memory),
        more: `of ${bytes(host.memory)}${kills > 0 ? `, ${plural(kills, 'kill', 'kills')} for lack of it` : ''}`,
        values: totals.map((one) => one.memory),
        least: 1_048_576,
      },
      times,
      bytes,
    );
    this.pools.show(numbers.pools);
  }
}
