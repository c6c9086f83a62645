// A line of numbers over time, drawn small. What it shows is told in words to those who do not see it.
import { graphic, setAttribute } from './dom.js';

const WIDTH = 120;
const HEIGHT = 28;
const EDGE = 1.5;
const SHORTEST_WINDOW_MS = 30_000;

export class Sparkline {
  /** @param {string} colour a class of the style sheet: cpu, memory or count */
  constructor(colour) {
    this.area = graphic('path', { class: 'area', d: '' });
    this.line = graphic('path', { class: 'line', d: '' });
    this.node = graphic(
      'svg',
      {
        class: `spark ${colour}`,
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        role: 'img',
        focusable: 'false',
      },
      this.area,
      this.line,
    );
  }

  /**
   * Values end with the last time; `null` is a gap. The scale reaches from 0 to `top`, or to the highest value.
   *
   * @param {readonly number[]} times
   * @param {readonly (number | null)[]} values
   * @param {{ readonly windowMs: number, readonly least: number, readonly label: string }} how
   */
  show(times, values, { windowMs, least, label }) {
    setAttribute(this.node, 'aria-label', label);
    const last = times.at(-1) ?? 0;
    const offset = times.length - values.length;
    const top = Math.max(least, ...values.map((value) => value ?? 0)) * 1.1;
    /** @type {[x: number, y: number][][]} */
    const strokes = [[]];
    values.forEach((value, at) => {
      if (value === null) {
        strokes.push([]);
        return;
      }
      const age = last - /** @type {number} */ (times[at + offset]);
      const x = WIDTH - (age / windowMs) * WIDTH;
      const y = HEIGHT - EDGE - (value / top) * (HEIGHT - 2 * EDGE);
      strokes.at(-1)?.push([x, y]);
    });
    const drawn = strokes.filter((stroke) => stroke.length > 0).map(atLeastTwo);
    const line = drawn.map((stroke) => `M${stroke.map(point).join('L')}`).join('');
    setAttribute(this.line, 'd', line);
    setAttribute(this.area, 'd', drawn.map(closed).join(''));
  }
}

/** @param {readonly number[]} times */
export function spanOf(times) {
  return (times.at(-1) ?? 0) - (times[0] ?? 0);
}

/**
 * What there is, drawn as wide as it can be.
 *
 * @param {readonly number[]} times
 * @param {number} longest in milliseconds
 */
export function windowOf(times, longest) {
  return Math.min(longest, Math.max(SHORTEST_WINDOW_MS, spanOf(times)));
}

/**
 * One number is a short line: a point would not be seen.
 *
 * @param {[x: number, y: number][]} stroke
 * @returns {[x: number, y: number][]}
 */
function atLeastTwo(stroke) {
  const [only] = stroke;
  return stroke.length > 1 || only === undefined ? stroke : [[only[0] - 2, only[1]], only];
}

/** @param {[x: number, y: number]} at */
function point([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

/** @param {[x: number, y: number][]} stroke */
function closed(stroke) {
  const first = /** @type {[number, number]} */ (stroke[0]);
  const last = /** @type {[number, number]} */ (stroke.at(-1));
  return `M${point([first[0], HEIGHT])}L${stroke.map(point).join('L')}L${point([last[0], HEIGHT])}Z`;
}
