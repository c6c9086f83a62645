// From samples to values, from values to verdicts.
import { median, quantile, ratio } from '../lib/statistics.mjs';

/** By how much a ratio may be worse than the committed one. */
export const TOLERANCE = 1.25;
/** With fewer of a side, chance alone makes narrow bounds. */
const FEWEST = 5;
/** A machine on which the floor's own creates scatter more than this tells nothing about ours. */
const STEADY = 3;

/** The value of a row with its bounds; `undefined` when a side was not measured. */
export function evaluate(row, samples) {
  const over = samples.get(row.over);
  if (over.length === 0) return undefined;
  if (row.under === undefined) {
    const scale = row.scale ?? 1;
    return {
      value: median(over) * scale,
      low: quantile(over, 0.1) * scale,
      high: quantile(over, 0.9) * scale,
    };
  }
  const under = samples.get(row.under);
  if (under.length === 0) return undefined;
  return { ...ratio(over, under), n: Math.min(over.length, under.length) };
}

/** Whether the target is met; `undefined` without a target or a value. */
export function isMet(row, result) {
  if (result === undefined || (row.most === undefined && row.least === undefined)) return undefined;
  return row.most === undefined ? result.value >= row.least : result.value <= row.most;
}

/** A row's ratio beside the committed one. Rows with absolute values are no ratios, and so never compared. */
export function compare(row, result, committed) {
  if (result === undefined || committed === undefined || row.isAbsolute) return 'not compared';
  const isLowerBetter = row.least === undefined;
  const limit = isLowerBetter ? committed * TOLERANCE : committed / TOLERANCE;
  const isWorse = (value) => (isLowerBetter ? value > limit : value < limit);
  if (!isWorse(result.value)) return 'as before';
  // certain only when even the better bound is beyond
  return result.n >= FEWEST && isWorse(isLowerBetter ? result.low : result.high) ? 'worse' : 'uncertain';
}

/** Why this machine is too restless for a judgement; `undefined` when it is not. */
export function restlessness(samples, load, processors) {
  const floor = samples.get('floor create');
  if (floor.length > 0) {
    const spread = quantile(floor, 0.9) / median(floor);
    if (spread > STEADY) return `the floor's own creates scatter by a factor of ${spread.toFixed(1)}`;
  }
  if (load > processors)
    return `${load.toFixed(1)} others waited for ${processors} processors before the bench began`;
  return undefined;
}
