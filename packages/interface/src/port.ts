/** What a port is, in one form of words for all who refuse something else. */

/** A whole number that a port can have. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/** What is wrong with something that {@link isPort} refuses. `text`: as it was given. */
export function noPort(text: string | number): string {
  return `'${text}' is no port: ports are whole numbers from 1 to 65535`;
}

/** The same of a range. `form`: how one is written there, as `FIRST:LAST`. */
export function noPortRange(text: string, form: string): string {
  return `'${text}' is no range of ports: write ${form}, ${RANGE}`;
}

const RANGE = 'two whole numbers from 1 to 65535, the first less than the last';

/** What to do where the text is the original's. */
export const PORT_RANGE_ADVICE: string = `a range of ports is FIRST:LAST, ${RANGE}`;
