// Bars of medians with their spreads, on a logarithmic scale: what takes a hundred times as long is twice as
// far to the right of ten times.
import { summary } from '../lib/statistics.mjs';

const LABEL = 240;
const WIDTH = 560;
const LINE = 24;
const TOP = 48;
const COLOURS = { floor: '#8a8f98', warden: '#1f6feb', other: '#c9803a' };

const BARS = [
  'floor create',
  'warden create',
  'claim',
  'crun run --detach',
  'runc run --detach',
  'floor first run true',
  'floor first run bash',
  'floor run true',
  'floor run bash',
  'warden first run true',
  'warden run true',
  'crun exec true',
  'runc exec true',
  'floor destroy',
  'warden destroy',
  'crun delete',
  'runc delete',
];

function colour(name) {
  if (name.startsWith('floor')) return COLOURS.floor;
  return name.startsWith('warden') || name === 'claim' ? COLOURS.warden : COLOURS.other;
}

function milliseconds(us) {
  return us >= 1e4 ? `${(us / 1e3).toFixed(0)} ms` : `${(us / 1e3).toPrecision(2)} ms`;
}

/** An SVG of everything that lives through create, run and destroy; empty when nothing was measured. */
export function plot(samples) {
  const bars = BARS.filter((name) => samples.has(name)).map((name) => ({
    name,
    ...summary(samples.get(name)),
  }));
  if (bars.length === 0) return '';
  const least = 10 ** Math.floor(Math.log10(Math.min(...bars.map(({ p10 }) => p10))));
  const most = Math.max(...bars.map(({ p90 }) => p90));
  const at = (us) => LABEL + (WIDTH * Math.log10(us / least)) / Math.log10((most * 1.6) / least);
  const height = TOP + LINE * bars.length + 16;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LABEL + WIDTH + 20}" height="${height}" font-family="sans-serif" font-size="13">`,
    '<rect width="100%" height="100%" fill="white"/>',
    `<text x="${LABEL}" y="18" font-size="15">median, with the 10th and 90th percentile (logarithmic)</text>`,
  ];
  for (let us = least; us <= most * 1.6; us *= 10) {
    const x = at(us).toFixed(1);
    parts.push(`<line x1="${x}" y1="${TOP - 6}" x2="${x}" y2="${height - 10}" stroke="#dddddd"/>`);
    parts.push(
      `<text x="${x}" y="${TOP - 12}" text-anchor="middle" fill="#777777">${milliseconds(us)}</text>`,
    );
  }
  for (const [i, bar] of bars.entries()) parts.push(...drawn(bar, TOP + LINE * i, at));
  return `${[...parts, '</svg>'].join('\n')}\n`;
}

function drawn({ name, median, p10, p90 }, y, at) {
  const middle = y + LINE / 2;
  return [
    `<text x="${LABEL - 8}" y="${middle + 4}" text-anchor="end">${name}</text>`,
    `<rect x="${LABEL}" y="${y + 4}" width="${(at(median) - LABEL).toFixed(1)}" height="${LINE - 8}" fill="${colour(name)}"/>`,
    `<line x1="${at(p10).toFixed(1)}" y1="${middle}" x2="${at(p90).toFixed(1)}" y2="${middle}" stroke="black"/>`,
    `<text x="${(at(p90) + 6).toFixed(1)}" y="${middle + 4}">${milliseconds(median)}</text>`,
  ];
}
