/** Names in egress rules. */

const LONGEST_NAME = 253;

/** As records have it: in lower case, without a dot at its end. */
export function domainOf(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}

/** Tells whether it is the name of a host, or `*.` and a name for all names below it. */
export function isDomain(text: string): boolean {
  const labels = text.replace(/^\*\./, '').split('.');
  const isLabel = (label: string): boolean => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label);
  // what looks like an address is one, or a mistake
  return text.length <= LONGEST_NAME && labels.every(isLabel) && !/^\d+$/.test(labels.at(-1) ?? '');
}
