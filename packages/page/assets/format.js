// Numbers, times and names as people read them.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (value === null || value === undefined) return '–';
  let rest = value;
  let unit = 0;
  while (rest >= 1_024 && unit < UNITS.length - 1) {
    rest /= 1_024;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  return `${rest.toFixed(digits)} ${UNITS[unit]}`;
}

/**
 * Of one processor, as top(1) tells it.
 *
 * @param {number | null | undefined} processors
 */
export function percent(processors) {
  if (processors === null || processors === undefined) return '–';
  const value = processors * 100;
  return `${value >= 10 || value === 0 ? Math.round(value) : value.toFixed(1)} %`;
}

/** @param {number | null | undefined} value */
export function count(value) {
  return value === null || value === undefined ? '–' : value.toLocaleString('en');
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor(whole / 3_600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min ${whole % 60} s`;
  return `${whole} s`;
}

/** @param {number} time milliseconds since 1970 */
export function clock(time) {
  return new Date(time).toLocaleTimeString('en-GB');
}

/**
 * A name that somebody has chosen, with what would not be seen, or would turn the text beside it around, made visible.
 *
 * @param {string} text
 */
export function visible(text) {
  // every kind of control, format, surrogate and private character, and all spaces but the plain one
  return text.replace(/[\p{C}\p{Z}]/gu, (one) => {
    if (one === ' ') return one;
    const code = /** @type {number} */ (one.codePointAt(0));
    return code < 0x20
      ? String.fromCodePoint(0x2400 + code)
      : `<${code.toString(16).toUpperCase().padStart(4, '0')}>`;
  });
}

/**
 * @param {number} number
 * @param {string} one
 * @param {string} many
 */
export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
